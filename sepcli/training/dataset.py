"""Single-speaker speech from a folder, a manifest or a pack, decoded and resampled once.

A folder holds one folder a speaker at any depth; a manifest is a CSV file with the columns `path`
and `speaker` (and perhaps `split`, and `snr_est_db`: noisy recordings are drawn less often); a
pack is what `sepcli pack` writes: a zip archive of such a folder. What cannot be used is skipped
and counted, with the reason.
"""

import csv
import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sepcli.audio import AudioReader, find_audio_files, mono_blocks, resample_blocks
from sepcli.errors import AudioError, UsageError
from sepcli.files import printable

Pcm = npt.NDArray[np.int16]
Waveform = npt.NDArray[np.float32]
Generator = np.random.Generator

FULL_SCALE = 32767
MIN_SECONDS = 0.2
# Quieter than this, nobody speaks: two steps of a 16-bit recording.
SILENCE_PEAK = 2.0 / 32768
EXAMPLES_SHOWN = 3
# Estimated level of speech over noise from which a recording counts in full, and below which
# it counts least.
CLEAN_DB, NOISY_DB = 40.0, 22.0
LEAST_WEIGHT = 0.1
LAYOUT_HINT = "lay it out as FOLDER/SPEAKER/*.wav, or give a manifest with columns path,speaker"


@dataclass(frozen=True)
class Utterance:
    """One recording of one speaker: a file, or a member of a pack.

    Attributes:
        speaker: Whose it is.
        path: The file, or the pack.
        member: Its name in the pack.
        pack: The same pack, open: to read its table of contents takes longer than to decode.
        weight: How likely it is drawn among its speaker's recordings.
    """

    speaker: str
    path: Path
    member: str = ""
    pack: zipfile.ZipFile | None = field(default=None, compare=False)
    weight: float = 1.0

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return printable(self.member or self.path)


@dataclass
class Skipped:
    """What could not be used, by reason, with the first names of each."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        """Count one more recording that was passed over."""
        self.counts[reason] += 1
        self.examples.setdefault(reason, []).append(name)

    def lines(self) -> list[str]:
        """One line a reason: how many, why, and the first few names."""
        return [
            f"skipped {count} recording{'s' if count > 1 else ''}, {reason}: "
            + ", ".join(self.examples[reason][:EXAMPLES_SHOWN])
            + (", …" if count > EXAMPLES_SHOWN else "")
            for reason, count in sorted(self.counts.items())
        ]


@dataclass(frozen=True)
class Speech:
    """Decoded speech of many speakers.

    Attributes:
        sample_rate: Rate of all signals [Hz].
        speakers: Their names, sorted.
        signals: Speed variant → speaker → recordings, 16-bit `[samples]` each.
        skipped: What could not be used.
        weights: Speaker → how likely each recording is drawn.
    """

    sample_rate: int
    speakers: tuple[str, ...]
    signals: tuple[tuple[tuple[Pcm, ...], ...], ...]
    skipped: Skipped
    weights: tuple[tuple[float, ...], ...]

    @property
    def seconds(self) -> float:
        """Length of all recordings at their own speed."""
        samples = sum(len(signal) for voice in self.signals[0] for signal in voice)
        return samples / self.sample_rate

    @property
    def single_recordings(self) -> int:
        """Number of speakers with one recording only."""
        return sum(len(voice) == 1 for voice in self.signals[0])


def find_speech(path: Path, *, split: str = "", needs_splits: bool = True) -> list[Utterance]:
    """Return the recordings of a folder, a manifest or a pack with their speakers, sorted.

    Args:
        path: Folder, `.csv` manifest, or pack.
        split: Keep rows of a manifest that have this in its column `split`; empty for all rows.
        needs_splits: Refuse what has no such column; else all of it is taken.

    Raises:
        AudioError: nothing is there, or no recording belongs to a speaker.
        UsageError: There is no such split, or a manifest is not as it should be.
    """
    is_pack = path.is_file() and zipfile.is_zipfile(path)
    is_manifest = path.suffix.lower() == ".csv" and not path.is_dir() and not is_pack
    if path.is_dir():
        files = find_audio_files(path, recursive=True)
        found = [Utterance(file.parent.relative_to(path).as_posix(), file) for file in files]
    elif is_manifest:
        found = [_utterance(path, row) for row in _rows(path, split, needs_splits)]
    elif is_pack:
        try:
            pack = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as problem:
            raise AudioError(f"damaged pack: {printable(path)}", "copy it again") from problem
        names = [item.filename for item in pack.infolist() if not item.is_dir()]
        found = [Utterance(name.rpartition("/")[0], path, name, pack) for name in names]
    elif path.exists():
        raise AudioError(f"neither a folder, a manifest nor a pack: {printable(path)}", LAYOUT_HINT)
    else:
        raise AudioError(f"no such folder, manifest or pack: {printable(path)}", LAYOUT_HINT)
    if split and needs_splits and not is_manifest:
        raise _without_splits(path)
    found = [item for item in found if item.speaker not in ("", ".")]
    if not found:
        raise AudioError(f"no recordings of named speakers in: {printable(path)}", LAYOUT_HINT)
    return sorted(found, key=lambda item: (item.speaker, item.member or str(item.path)))


def read_speech(
    utterances: Sequence[Utterance],
    sample_rate: int,
    *,
    speeds: Sequence[float] = (1.0,),
    min_speakers: int = 1,
) -> Speech:
    """Return the recordings decoded, at `sample_rate`, in each speed.

    Raises:
        AudioError: fewer than `min_speakers` speakers have a usable recording.
    """
    skipped = Skipped()
    voices: dict[str, list[list[Pcm]]] = {}
    weights: dict[str, list[float]] = {}
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(lambda item: decode(item, sample_rate, speeds), utterances)
        for item, result in zip(utterances, decoded, strict=True):
            if isinstance(result, str):
                skipped.add(result, item.name)
            else:
                voices.setdefault(item.speaker, []).append(result)
                weights.setdefault(item.speaker, []).append(item.weight)
    names = tuple(sorted(voices))
    if len(names) < min_speakers:
        reasons = "; ".join(skipped.lines())
        raise AudioError(
            f"usable speech of {len(names)} speakers, {min_speakers} are needed"
            + (f" ({reasons})" if reasons else ""),
            LAYOUT_HINT,
        )
    signals = tuple(
        tuple(tuple(variants[index] for variants in voices[name]) for name in names)
        for index in range(len(speeds))
    )
    shares = tuple(tuple(weights[name]) for name in names)
    return Speech(sample_rate, names, signals, skipped, shares)


def read_recordings(folder: Path, sample_rate: int) -> tuple[dict[str, Waveform], Skipped]:
    """Return the recordings below a folder by name, decoded at `sample_rate`.

    Raises:
        AudioError: there is none.
    """
    skipped = Skipped()
    found: dict[str, Waveform] = {}
    for file in find_audio_files(folder, recursive=True):
        result = decode(Utterance("", file), sample_rate, (1.0,), min_seconds=0.0)
        if isinstance(result, str):
            skipped.add(result, printable(file))
        else:
            found[str(file.relative_to(folder))] = to_float(result[0])
    if not found:
        raise AudioError(f"no usable recording in: {printable(folder)}", "; ".join(skipped.lines()))
    return found, skipped


def _rows(path: Path, split: str, needs_splits: bool) -> list[dict[str, str]]:
    """Return the rows of a manifest, those of a split where one is named."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise AudioError(f"cannot read the manifest: {printable(path)}", LAYOUT_HINT) from problem
    for row in rows:
        if not row.get("path") or not row.get("speaker"):
            raise UsageError(f"manifest without path or speaker: {printable(path)}", LAYOUT_HINT)
        if "\0" in row["path"]:
            raise UsageError(f"no name of a file: {row['path']!a}", f"correct it in {path}")
    if not split:
        return rows
    if "split" not in columns:
        if needs_splits:
            raise _without_splits(path)
        return rows
    if not (kept := [row for row in rows if row["split"] == split]):
        others = sorted({row["split"] for row in rows if row["split"]})
        raise UsageError(
            f"no rows of split {split} in: {printable(path)}",
            f"there is: {', '.join(others)}" if others else LAYOUT_HINT,
        )
    return kept


def _without_splits(path: Path) -> UsageError:
    return UsageError(
        f"no column split in: {printable(path)}",
        "leave out --split, or give a manifest with columns path,speaker,split",
    )


def _utterance(path: Path, row: dict[str, str]) -> Utterance:
    """Return the recording that a row of a manifest lists; paths are relative to it."""
    speaker = "/".join(filter(None, (row.get("corpus"), row["speaker"])))
    return Utterance(speaker, path.parent / row["path"], weight=_weight(row))


def _weight(row: dict[str, str]) -> float:
    """How likely a recording of a manifest is drawn: noise in it would be learned as speech."""
    try:
        snr_db = float(row.get("snr_est_db") or CLEAN_DB)
    except ValueError:
        return 1.0
    return min(1.0, max(LEAST_WEIGHT, (snr_db - NOISY_DB) / (CLEAN_DB - NOISY_DB)))


# of a zip: damaged, gone, encrypted, compressed in a way that is not known here
UNREADABLE_MEMBER = (
    *(zipfile.BadZipFile, zlib.error, KeyError, EOFError, RuntimeError, NotImplementedError),
)


def decode(
    item: Utterance, sample_rate: int, speeds: Sequence[float], min_seconds: float = MIN_SECONDS
) -> list[Pcm] | str:
    """Return the recording `[samples]` in each speed, or the reason why it cannot be used."""
    try:
        source = io.BytesIO(item.pack.read(item.member)) if item.pack else item.path
        with AudioReader(source) as reader:
            rate = reader.info.sample_rate
            signal = np.concatenate([*mono_blocks(reader), np.zeros(0, np.float32)])
    except (AudioError, OSError, *UNREADABLE_MEMBER):
        return "not readable"
    if rate < sample_rate:
        return f"sample rate below {sample_rate} Hz"
    if len(signal) < min_seconds * rate or not len(signal):
        return f"shorter than {min_seconds} s"
    if np.abs(signal).max() < SILENCE_PEAK:
        return "silent"
    rates = [round(rate * speed) for speed in speeds]
    return [_to_pcm(np.concatenate([*resample_blocks([signal], r, sample_rate)])) for r in rates]


def to_float(signal: Pcm) -> Waveform:
    """Return 16-bit samples as float32 with full scale at 1."""
    return signal.astype(np.float32) / np.float32(FULL_SCALE)


def _to_pcm(signal: Waveform) -> Pcm:
    # 16 bits halve the memory; mixtures are made of what is kept, so nothing is lost for training.
    return (np.clip(signal, -1, 1) * FULL_SCALE).round().astype(np.int16)
