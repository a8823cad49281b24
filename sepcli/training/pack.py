"""A pack: speech of many speakers in one file, small enough to travel.

A zip archive, stored without further compression, of `SPEAKER/UTTERANCE.ogg` (Opus, a few bytes a
millisecond) or `.flac` (exact, about six times as large). Decoded packs are source and reference
of mixtures alike, so the coding loss does not bias what is learned.
"""

import io
import itertools
import zipfile
from collections.abc import Callable, Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import soundfile

from sepcli.errors import AudioError, OutputError
from sepcli.files import printable, whole_file
from sepcli.training.dataset import Pcm, Skipped, Utterance, decode

Coding = Literal["opus", "flac"]

# libsndfile's scale from 256 kbit/s (0) to 6 kbit/s (1): about 18 kbit/s, 9 MB an hour.
OPUS_COMPRESSION = 0.952
ENDINGS = {"opus": ".ogg", "flac": ".flac"}
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
LONGEST_NAME = 0xFFFF  # bytes, in a zip
BATCH = 256  # recordings decoded at once; bounds the memory


def write_pack(
    utterances: Sequence[Utterance],
    path: Path,
    sample_rate: int,
    *,
    coding: Coding = "opus",
    on_progress: Callable[[int], None] = lambda count: None,
) -> Skipped:
    """Write a pack of the recordings at `sample_rate` and return what was skipped.

    Args:
        utterances: What `find_speech` found.
        path: The pack; replaced whole, or not at all.
        sample_rate: Rate of the pack [Hz].
        coding: `"opus"` or `"flac"`.
        on_progress: Called with the number of each recording as it comes.

    Raises:
        OutputError: it cannot be written, or Opus does not know the rate.
        AudioError: no recording is usable.
    """
    if coding == "opus" and sample_rate not in OPUS_RATES:
        raise OutputError(f"Opus has no such sample rate: {sample_rate}", "use --coding flac")
    skipped = Skipped()
    with (
        whole_file(path) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
        ThreadPoolExecutor() as pool,
    ):
        for start in range(0, len(utterances), BATCH):
            batch = utterances[start : start + BATCH]
            decoded = pool.map(lambda item: decode(item, sample_rate, (1.0,)), batch)
            pairs = zip(batch, decoded, strict=True)
            for number, (item, result) in enumerate(pairs, start + 1):
                on_progress(number)
                if isinstance(result, str):
                    skipped.add(result, item.name)
                    continue
                # a zip takes text, and ends a name at a NUL
                stem = printable(f"{item.speaker}/{Path(item.member or item.path).stem}")
                name = _free_name(archive.NameToInfo, stem, ENDINGS[coding])
                if len(name.encode()) > LONGEST_NAME:
                    skipped.add("name too long for a pack", item.name)
                    continue
                archive.writestr(name, _encode(result[0], sample_rate, coding))
        if not archive.NameToInfo:
            raise AudioError("no usable recording to pack", "; ".join(skipped.lines()))
    return skipped


def _encode(signal: Pcm, sample_rate: int, coding: Coding) -> bytes:
    """Return the file that holds a signal."""
    buffer = io.BytesIO()
    if coding == "flac":
        soundfile.write(buffer, signal, sample_rate, format="FLAC", subtype="PCM_16")
    else:
        level = OPUS_COMPRESSION
        soundfile.write(
            buffer, signal, sample_rate, format="OGG", subtype="OPUS", compression_level=level
        )
    return buffer.getvalue()


def _free_name(taken: Container[str], stem: str, ending: str) -> str:
    """Return a member's name that is not taken yet."""
    numbered = (f"{stem}-{number}{ending}" for number in itertools.count(2))
    return next(name for name in itertools.chain([stem + ending], numbered) if name not in taken)
