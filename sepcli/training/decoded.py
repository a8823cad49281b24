"""Decoded speech in one file that later runs, and the other processes of a run, read at once.

The file holds the samples of all recordings one after the other, mapped into memory and thus
shared by all processes that read it; beside it stands what they are. It is named after all that it
depends on, so it is never wrong; what it replaces, gigabytes at times, goes.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from sepcli.files import whole_file, write_whole
from sepcli.memory import return_freed_memory
from sepcli.training.dataset import Skipped, Speech, Utterance, read_speech

DIGITS = 16  # of the digest in a name


def read_decoded(
    utterances: Sequence[Utterance],
    sample_rate: int,
    folder: Path,
    kind: str,
    *,
    speeds: Sequence[float] = (1.0,),
    min_speakers: int = 1,
) -> Speech:
    """Like `read_speech`, from `folder` where it was kept there before, else kept there.

    Args:
        utterances: As for `read_speech`.
        sample_rate: As there [Hz].
        folder: Where it is kept.
        kind: What it is for, as `train`; of each kind one is kept.
        speeds: As there.
        min_speakers: As there.

    Raises:
        AudioError: fewer than `min_speakers` speakers have a usable recording.
        OutputError: what was decoded cannot be kept.
        OSError: the folder cannot be made.
    """
    name = f"{kind}-{_digest(utterances, sample_rate, speeds)}"
    samples, index = folder / f"{name}.npy", folder / f"{name}.json"
    if index.is_file() and samples.is_file():
        return _load(samples, index)
    speech = read_speech(utterances, sample_rate, speeds=speeds, min_speakers=min_speakers)
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.glob(f"{kind}-*"):
        with suppress(OSError):  # on Windows, while another run reads it
            earlier.unlink()
    _save(speech, samples)
    write_whole(index, json.dumps(_description(speech)).encode())  # last: it vouches for the other
    del speech
    return_freed_memory()
    return _load(samples, index)


def _digest(utterances: Sequence[Utterance], sample_rate: int, speeds: Sequence[float]) -> str:
    """Name of what these recordings become; another one as soon as one of them changes."""
    states = {path: _state(path) for path in {item.path for item in utterances}}
    parts = [
        [item.speaker, str(item.path), item.member, item.weight, *states[item.path]]
        for item in utterances
    ]
    text = json.dumps([sample_rate, list(speeds), parts])
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _state(path: Path) -> tuple[int, int] | tuple[()]:
    """Return size and time of a file; nothing of one that is not there, which is skipped later."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_size, status.st_mtime_ns


def _save(speech: Speech, path: Path) -> None:
    """Write all samples, speed after speed, speaker after speaker.

    Not through a memory map, in which a full disk would end the process without a word.
    """
    recordings = [signal for variant in speech.signals for voice in variant for signal in voice]
    kind = np.lib.format.dtype_to_descr(np.dtype(np.int16))
    shape = (sum(map(len, recordings)),)
    with whole_file(path) as file:
        header = {"descr": kind, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for recording in recordings:
            file.write(recording.tobytes())


def _description(speech: Speech) -> dict[str, object]:
    return {
        "sample_rate": speech.sample_rate,
        "speakers": speech.speakers,
        "lengths": [[list(map(len, voice)) for voice in variant] for variant in speech.signals],
        "weights": speech.weights,
        "skipped": [speech.skipped.counts, speech.skipped.examples],
    }


def _load(samples: Path, index: Path) -> Speech:
    known = json.loads(index.read_text(encoding="utf-8"))
    held = np.load(samples, mmap_mode="r")
    place = 0
    signals = []
    for variant in known["lengths"]:
        voices = []
        for lengths in variant:
            ends = place + np.cumsum(lengths)
            voices.append(tuple(held[a:b] for a, b in zip([place, *ends[:-1]], ends, strict=True)))
            place = int(ends[-1])
        signals.append(tuple(voices))
    counts, examples = known["skipped"]
    return Speech(
        known["sample_rate"],
        tuple(known["speakers"]),
        tuple(signals),
        Skipped(Counter(counts), examples),
        tuple(map(tuple, known["weights"])),
    )
