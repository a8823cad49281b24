"""How recordings are cut and joined: what was chosen, with what the model prefers."""

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args

from sepcli.errors import UsageError
from sepcli.models.entry import LONGEST_CHUNK_SECONDS, ModelEntry
from sepcli.separation.choices import (
    MOST_SHIFTS,
    Bandwidth,
    Leakage,
    Level,
    OutsideOverlap,
    Precision,
)
from sepcli.separation.enrolment import check_only, enrol
from sepcli.separation.naming import DEFAULT_NAME, Naming
from sepcli.separation.speakers import MOST_PEOPLE, Embed, KnownVoices
from sepcli.separation.speakers.embedding import BUILTIN, MIN_LIKENESS

CHOICES = {
    "precision": Precision,
    "level": Level,
    "leakage": Leakage,
    "outside_overlap": OutsideOverlap,
    "bandwidth": Bandwidth,
}


@dataclass(frozen=True, kw_only=True)
class SeparationOptions:
    """How a separator runs; None leaves a choice to the model or the device.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `fp32`, `bf16` or `fp16`; the 16-bit ones are less exact, and faster on devices
            that have such arithmetic. `fp16` is refused on a processor.
        chunk_seconds: Length of a chunk [s].
        overlap_seconds: Overlap of neighbouring chunks [s].
        batch_size: Chunks run at once.
        shifts: How often each chunk is run, each time shifted a little; the mean of the estimates
            is better, and takes that many times as long.
        level: `"fit"` or `"as-is"`, see `ModelEntry.level`.
        leakage: `"remove"` takes faint copies of the active speaker out of the others' estimates;
            where there is little leakage, it costs quality (docs/speaker-order.md). `"keep"`
            leaves estimates alone.
        voices: Voice embedding that tells speakers apart: `builtin` or `ecapa`.
        people: How many people speak, 1 to 8; `"auto"` counts them; None: as many as the network
            has outputs, or fewer.
        outside_overlap: What a speaker's waveform is where nobody else speaks: `"original"`, the
            recording itself, or what was `"separated"`.
        bandwidth: `"full"` adds what lies above the network's band in overlaps; `"model"` does not.
        known: Recordings of people speaking alone, by name, two seconds or more each; speakers
            recognised get these names.
        only: The one name of `known` whose file is wanted; None for all speakers.

    Raises:
        UsageError: A value is not one of these.
    """

    device: str = "auto"
    precision: Precision = "fp32"
    chunk_seconds: float | None = None
    overlap_seconds: float | None = None
    batch_size: int | None = None
    shifts: int = 1
    level: Level | None = None
    leakage: Leakage = "keep"
    voices: str = BUILTIN
    people: int | Literal["auto"] | None = None
    outside_overlap: OutsideOverlap = "original"
    bandwidth: Bandwidth = "full"
    known: Mapping[str, str | Path] = field(default_factory=dict)
    only: str | None = None

    def __post_init__(self) -> None:
        for name, kind in CHOICES.items():
            value, known = getattr(self, name), get_args(kind)
            is_known = isinstance(value, str) and value in known
            if not is_known and not (name == "level" and value is None):
                raise UsageError(f"no such {name}: {value!r}", f"choose {' or '.join(known)}")
        for name, value in _plain_numbers(self).items():  # so that equal options are written alike
            object.__setattr__(self, name, value)
        if not isinstance(self.voices, str):
            raise UsageError(f"no name of voices: {self.voices!r}", "give one as text")
        _check_known(self.known)
        if self.only is not None and not isinstance(self.only, str):
            raise UsageError(f"no voice is called: {self.only!r}", "give the name of one as text")
        if self.only is not None:
            object.__setattr__(self, "only", check_only(self.only, self.known))


def _plain_numbers(options: SeparationOptions) -> dict[str, Any]:
    """Return the numbers among options as plain ones of Python, whatever kind they are given in.

    Raises:
        UsageError: One is none, or none that makes sense.
    """
    people, size, shifts = options.people, options.batch_size, options.shifts
    chunk, overlap = options.chunk_seconds, options.overlap_seconds
    plain: dict[str, Any] = {"shifts": _count(shifts)}
    if not 1 <= plain["shifts"] <= MOST_SHIFTS:
        raise UsageError(
            f"not a number of shifts: {shifts!r}", f"use a number from 1 to {MOST_SHIFTS}"
        )
    if people is not None and not (isinstance(people, str) and people == "auto"):
        plain["people"] = _count(people)
        if not 1 <= plain["people"] <= MOST_PEOPLE:
            raise UsageError(
                f"not a number of speakers: {people!r}",
                f"use auto, or a number from 1 to {MOST_PEOPLE}",
            )
    if size is not None:
        plain["batch_size"] = _count(size)
        if not 1 <= plain["batch_size"] <= sys.maxsize:
            raise UsageError(f"not a size of a batch: {size!r}", "give a whole number above 0")
    if chunk is not None:
        plain["chunk_seconds"] = _seconds(chunk)
        if not 0 < plain["chunk_seconds"] <= LONGEST_CHUNK_SECONDS:
            raise UsageError(f"not a length of a chunk: {chunk} s", "give --chunk 8")
    if overlap is not None:
        plain["overlap_seconds"] = _seconds(overlap)
        if not plain["overlap_seconds"] >= 0:
            raise UsageError(f"not a length of an overlap: {overlap} s", "give --overlap 1")
    return plain


def _count(value: Any) -> int:
    """Return a whole number as Python's; 0 where it is none."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    return int(value) if is_whole else 0


def _seconds(value: Any) -> float:
    """Return a number as Python's; NaN where it is none."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return float(value) if is_number else math.nan


def _check_known(known: Any) -> None:
    """Raise `UsageError` unless these are paths of recordings by name."""
    hint = 'as in known={"alice": "alice.wav"}'
    if not isinstance(known, Mapping):
        raise UsageError(f"not recordings of people by name: {type(known).__name__}", hint)
    for name, path in known.items():
        if not isinstance(name, str):
            raise UsageError(f"not the name of a voice: {name!r}", hint)
        if not isinstance(path, str | os.PathLike) or not str(path):
            what = repr(path) if isinstance(path, str) else type(path).__name__
            raise UsageError(f"voice of {name} is no path of a recording: {what}", hint)


@dataclass(frozen=True, kw_only=True)
class RecordingPlan:
    """How recordings are cut and joined for one model; samples are at the network's rate.

    Attributes:
        sample_rate: The network's rate [Hz].
        num_speakers: Estimates per chunk.
        counts_speakers: Whether estimates beyond the number that the network finds are silent.
        chunk: Length of a chunk.
        overlap: Overlap of neighbouring chunks.
        level: `"fit"`: gains that best explain the mixture; `"as-is"`: the network's own.
        is_levelled: Whether estimates then have the level of their speaker: fitted, or of a network
            that gives it.
        leakage: `"remove"` takes faint copies of the active speaker out of the others' estimates.
        embed: Voice embedding of a waveform at a rate.
        people: How many people there are; `"auto"` counts them; None: as many as estimates, or
            fewer.
        outside_overlap: What a speaker's waveform is where nobody else speaks: the `"original"`
            recording, or what was `"separated"`.
        bandwidth: `"full"` adds what lies above the network's band in overlaps; `"model"` does not.
        known: People whose voices are known by name; None for nobody.
        only: The one of them whose file is wanted; None for all speakers.
    """

    sample_rate: int
    num_speakers: int
    chunk: int
    overlap: int
    level: Level
    is_levelled: bool
    counts_speakers: bool
    leakage: Leakage
    embed: Embed
    people: int | Literal["auto"] | None
    outside_overlap: OutsideOverlap
    bandwidth: Bandwidth
    known: KnownVoices | None
    only: str | None

    def num_files(self, num_people: int | None) -> int:
        """Return the number of files for `num_people` found; the most there may be for None."""
        if self.people == "auto":
            return MOST_PEOPLE if num_people is None else max(1, num_people)
        return self.people or self.num_speakers

    @property
    def names(self) -> tuple[str, ...]:
        """Who may be recognised."""
        return self.known.names if self.known is not None else ()

    def naming(self, folder: Path, extension: str, template: str = DEFAULT_NAME) -> Naming:
        """Return how the files of recordings are named."""
        return Naming(
            folder=folder,
            extension=extension,
            template=template,
            num_speakers=self.num_files(None),
            is_counted=self.people == "auto",
            names=self.names,
            only=self.only,
        )

    def keeps_own_rate(self, sample_rate: int) -> bool:
        """Return whether files hold parts of the recording at its own rate, not the network's."""
        takes_band = self.bandwidth == "full" and sample_rate > self.sample_rate
        return sample_rate != self.sample_rate and (
            self.outside_overlap == "original" or takes_band
        )

    @property
    def holds_outputs(self) -> bool:
        """Whether files hold the estimates themselves, whoever is found."""
        return self.people != "auto" and self.is_as_separated(self.num_speakers)

    def is_as_separated(self, num_people: int) -> bool:
        """Return whether files of `num_people` hold the estimates themselves, nothing composed."""
        return (
            self.outside_overlap == "separated"
            and self.bandwidth == "model"
            and self.num_files(num_people) == self.num_speakers
        )


def plan_recordings(entry: ModelEntry, options: SeparationOptions, embed: Embed) -> RecordingPlan:
    """Return how recordings go through a model.

    Args:
        entry: The model.
        options: What was chosen; the rest is the model's choice.
        embed: Tells voices apart.

    Raises:
        UsageError: The overlap is not shorter than the chunk, names of people cannot be those of
            files, or the one who is wanted has no voice.
        AudioError: A recording of somebody's voice cannot be read, is silent, or too short.
    """
    chunk_seconds = options.chunk_seconds or entry.chunk_seconds
    overlap_seconds = options.overlap_seconds
    if overlap_seconds is None:
        overlap_seconds = min(entry.overlap_seconds, chunk_seconds / 2)
    chunk = round(chunk_seconds * entry.sample_rate)
    overlap = round(min(overlap_seconds, chunk_seconds) * entry.sample_rate)
    if overlap >= chunk:
        raise UsageError(
            f"overlap is not shorter than the chunk: {overlap_seconds:g} s",
            f"give an --overlap below {chunk_seconds:g}",
        )
    return RecordingPlan(
        sample_rate=entry.sample_rate,
        num_speakers=entry.speakers,
        counts_speakers=bool(entry.config.get("counts")),
        chunk=chunk,
        overlap=overlap,
        level=options.level or entry.level,
        is_levelled=options.level != "as-is" or entry.level == "as-is",
        leakage=options.leakage,
        embed=embed,
        people=options.people,
        outside_overlap=options.outside_overlap,
        bandwidth=options.bandwidth,
        known=enrol(options.known, entry.sample_rate, embed, MIN_LIKENESS[options.voices]),
        only=options.only,
    )
