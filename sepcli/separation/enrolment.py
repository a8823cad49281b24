"""Recordings of people whose names are known → what they sound like."""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sepcli.audio import AudioReader, find_audio_files, mono_blocks, resample_blocks
from sepcli.errors import AudioError, SepcliError, UsageError, did_you_mean
from sepcli.files import real_path
from sepcli.separation.speakers import Embed, KnownVoices, voice_of

Array = np.ndarray[Any, np.dtype[np.float32]]

MIN_SECONDS, MAX_SECONDS = 2.0, 60.0  # of a recording to know a voice by; more is not listened to
FRAME_SECONDS = 0.05
SPEECH_BELOW_PEAK_DB = 40.0
NOT_IN_NAMES = re.compile(r"[/\\{}\x00-\x1f\x7f]")  # they become part of file names


def parse_voices(given: Sequence[str]) -> dict[str, Path]:
    """Return the recording of each name.

    Args:
        given: `NAME=FILE`, or folders whose files are called after people.

    Raises:
        UsageError: One is neither, names cannot be told apart or be part of a file name, or two
            people have one recording.
        AudioError: A folder holds no recordings.
    """
    found: list[tuple[str, Path]] = []
    for text in given:
        name, equals, file = text.partition("=")
        if os.path.isdir(text):  # noqa: PTH112 (Path's raises where NAME=FILE is too long for one)
            found += [(path.stem, path) for path in _recordings_in(Path(text))]
        elif equals and file:
            found.append((name.strip(), Path(file)))
        else:
            raise UsageError(
                f"neither NAME=FILE nor a folder: {text}",
                "as in --voice alice=alice.wav, or a folder of files called after people",
            )
    check_names(name for name, _ in found)
    of_whom: dict[Path, str] = {}
    for name, path in found:
        other = of_whom.setdefault(real_path(path), name)
        if other != name:
            raise UsageError(
                f"one recording for two voices: {path}", f"give {other} and {name} one each"
            )
    return dict(found)


def _recordings_in(folder: Path) -> list[Path]:
    try:
        return find_audio_files(folder)
    except AudioError as cause:
        hint = "put a recording of each person there, called after them"
        raise AudioError(cause.message, hint) from cause


def check_names(names: Iterable[str]) -> None:
    """Raise `UsageError` unless files can be called after people, each after one of them."""
    seen: set[str] = set()
    for name in names:
        if not name.strip(". ") or NOT_IN_NAMES.search(name):
            raise UsageError(
                f"cannot be a name in file names: {name!r}", "use letters and digits, as in alice"
            )
        as_file = unicodedata.normalize("NFC", name).casefold()  # some disks see no difference
        if as_file in seen:
            raise UsageError(f"two voices have one name: {name}", "give each a name of its own")
        seen.add(as_file)


def check_only(only: str, names: Iterable[str]) -> str:
    """Return the name of the one who is wanted, as it is written where their voice is given.

    Disks and keyboards write an accent in two ways.

    Raises:
        UsageError: No voice of theirs is given.
    """
    names = list(names)
    if not only:
        raise UsageError("--only names nobody", "give a name of --voice, as in --only alice")
    if not names:
        raise UsageError(
            f"no voice is given for --only {only}", f"add one: --voice {only}={only}.wav"
        )
    for name in names:
        if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", only):
            return name
    raise UsageError(f"no voice is called: {only}", did_you_mean(only, names))


def read_enrolment(name: str, path: str | Path, sample_rate: int) -> Array:
    """Return a person's recording, mixed down, at a rate, `[samples]`; at most a minute of it.

    Raises:
        AudioError: It cannot be read, is silent, or too short.
    """
    hint = f"give five seconds or more in which {name} alone speaks"
    try:
        with AudioReader(path) as reader:
            reader.select(0.0, MAX_SECONDS)
            rate = reader.info.sample_rate
            blocks = list(resample_blocks(mono_blocks(reader), rate, sample_rate))
    except SepcliError as cause:
        raise AudioError(f"voice of {name}: {cause.message}", cause.hint) from cause
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if not samples.any():
        raise AudioError(f"voice of {name} is silent: {path}", hint)
    seconds = _sounding_seconds(samples, sample_rate)
    if seconds < MIN_SECONDS:
        raise AudioError(f"voice of {name} is heard for {seconds:.1f} s only: {path}", hint)
    return samples


def _sounding_seconds(samples: Array, sample_rate: int) -> float:
    """Return for how long there is speech, judged by the loudest frame [s]."""
    frame = round(FRAME_SECONDS * sample_rate)
    whole = np.pad(samples, (0, -len(samples) % frame)).reshape(-1, frame)
    power = whole.var(axis=1)  # DC is no sound
    loud = power > power.max() * 10.0 ** (-SPEECH_BELOW_PEAK_DB / 10.0)
    return float(np.count_nonzero(loud)) * FRAME_SECONDS


def enrol(
    files: Mapping[str, str | Path], sample_rate: int, embed: Embed, min_likeness: float
) -> KnownVoices | None:
    """Return what people sound like; None where there are none.

    Args:
        files: A recording of each, by name.
        sample_rate: That at which conversations are heard [Hz], so that voices are heard alike.
        embed: Embeds a waveform at a rate.
        min_likeness: Of a voice in a conversation to one of these.

    Raises:
        UsageError: Names cannot be told apart, or be part of a file name.
        AudioError: A recording cannot be read, is silent, or too short.
    """
    if not files:
        return None
    check_names(files)
    voices = [
        voice_of(read_enrolment(name, path, sample_rate), sample_rate, embed)
        for name, path in files.items()
    ]
    return KnownVoices(tuple(files), np.stack(voices), min_likeness)
