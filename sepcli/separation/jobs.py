"""Which files a run reads and writes, decided before anything is computed: none over another."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from sepcli.errors import OutputError, SepcliError
from sepcli.separation.naming import Naming, unknown_name
from sepcli.separation.places import Place, Places

T = TypeVar("T")
Span = tuple[float | None, float | None]  # where a part begins and ends [s]; None: the whole's end

MOST_SECONDS = 1e9  # where a part may end: 30 years

STDIN = "-"


@dataclass(frozen=True)
class Job:
    """One recording and the files its estimates go to.

    Attributes:
        source: The recording; None for standard input.
        outputs: One path per speaker.
        span: Which part of the recording is wanted [s].
        row: What a manifest says of it; None where no manifest names it.
        optional: Paths of speakers there may be besides.
        labels: Paths of who speaks when; their endings say in which format.
        segments: Folder of utterances; None where none are cut out.
        named: Paths of people who may be recognised, each with the name it is of. Who is, has that
            one instead of one of the others; where only one person is wanted, there are no others.
        following: What one more speaker's output would be called; a file there is of another run.
    """

    source: Path | None
    outputs: tuple[Path, ...]
    span: Span = (None, None)
    row: Mapping[str, Any] | None = field(default=None, compare=False)
    optional: tuple[Path, ...] = ()
    labels: tuple[Path, ...] = ()
    segments: Path | None = None
    named: tuple[tuple[str, Path], ...] = ()
    following: Path | None = field(default=None, compare=False)

    @cached_property
    def folder(self) -> Path:
        """Where its outputs go."""
        return self.possible[0].parent

    @cached_property
    def all_outputs(self) -> tuple[Path, ...]:
        """Paths of all speakers there may be, as they are called where nobody is recognised."""
        return self.outputs + self.optional

    @cached_property
    def possible(self) -> tuple[Path, ...]:
        """All files that may be written, but for those of `segments`."""
        return self.speaker_paths + self.labels

    @cached_property
    def speaker_paths(self) -> tuple[Path, ...]:
        """Paths of all speakers there may be, however they are called."""
        return self.all_outputs + tuple(path for _, path in self.named)

    def outputs_of(self, names: Sequence[str]) -> tuple[Path, ...]:
        """Return the paths of speakers, by what they are called, in order."""
        named = dict(self.named)
        others = self.all_outputs
        return tuple([named[name] if name in named else others[k] for k, name in enumerate(names)])

    def name_of(self, output: Path) -> str:
        """Return what the speaker of an output is called."""
        names = {path: name for name, path in self.named}
        if output in names:
            return names[output]
        return unknown_name(self.all_outputs.index(output) + 1)

    @property
    def own_paths(self) -> tuple[Path, ...]:
        """All files and folders that belong to this job alone."""
        return self.possible if self.segments is None else (*self.possible, self.segments)

    @property
    def label(self) -> str:
        """The name of the recording in messages."""
        return "standard input" if self.source is None else str(self.source)


@dataclass(frozen=True)
class Failure:
    """An input that could not be done, and why.

    Attributes:
        label: The input as the user named it.
        error: What went wrong.
    """

    label: str
    error: SepcliError


def job_of(
    source: Path | None,
    naming: Naming,
    inside: Path,
    part: str = "",
    *,
    span: Span = (None, None),
    row: Mapping[str, Any] | None = None,
) -> Job:
    """Return the job of a recording.

    Args:
        source: The recording; None for standard input.
        naming: How outputs are named.
        inside: Sub-folder of the output folder.
        part: Put after the stem, where only a part of the recording is separated.
        span: Which part [s].
        row: What a manifest says of it.
    """
    certain, optional = naming.certain_and_optional(source, inside, part)
    return Job(
        source,
        outputs=certain,
        span=span,
        row=row,
        optional=optional,
        labels=naming.label_paths(source, inside),
        segments=naming.segment_folder(source, inside, part),
        named=naming.named_paths(source, inside, part),
        following=naming.following_path(source, inside, part),
    )


def refuse_conflicts(
    jobs: Sequence[Job], *, overwrite: bool, also_read: Sequence[Path]
) -> tuple[list[Job], list[Failure]]:
    """Return the jobs whose outputs replace neither each other nor an input, and the others."""
    places = Places()
    read = _identities([*(job.source for job in jobs), *also_read]) if overwrite else {}
    holding: dict[str, Path] = {}
    if any(job.segments is not None for job in jobs):
        sources = [job.source for job in jobs if job.source is not None]
        holding = {places.of_content(path)[0]: path for path in [*also_read, *sources]}
    collisions = _collisions(jobs, places)
    kept, refused = [], []
    for job in jobs:
        refusal = collisions.get(job) or _replaces(job, read) or _cuts_into(job, holding)
        if refusal is None:
            kept.append(job)
        else:
            refused.append(Failure(job.label, refusal))
    return kept, refused


def take_shard(jobs: Sequence[T], index: int, count: int) -> list[T]:
    """Return every `count`-th job or failure, starting with number `index` (1 to `count`)."""
    return list(jobs[index - 1 :: count])


def _collisions(jobs: Iterable[Job], places: Places) -> dict[Job, OutputError]:
    """Return the error of every job that shares an output with another one."""
    owners: dict[Place, list[Job]] = {}
    for job in jobs:
        for output in job.own_paths:
            owners.setdefault(places.of_name(output), []).append(job)
    return {
        job: _collision(sharing[0], sharing[1] if job == sharing[0] else job)
        for sharing in owners.values()
        if len(sharing) > 1
        for job in sharing
    }


def _collision(first: Job, second: Job) -> OutputError:
    """Return the error of two jobs that share an output."""
    labels, apart = [first.label, second.label], "run them apart, each with an --output-dir of its"
    hint = f"{apart} own; endings that differ tell them apart too: {{ext}} in --name"
    if first.source == second.source:  # parts of one recording: rows of a manifest
        labels = [job.label + _times(job.span) for job in (first, second)]
        hint = f"give each an offset, a millisecond apart or more; or {apart} own"
    return OutputError(f"two inputs would write the same file: {labels[0]} and {labels[1]}", hint)


def _times(span: Span) -> str:
    """Return where a part begins and ends, in words, more exactly than its outputs' names do."""
    start, stop = span
    begins = "" if start is None else f" from {start:.10g} s"
    return begins if stop is None else f"{begins} to {stop:.10g} s"


def _replaces(job: Job, read: dict[tuple[int, int], str]) -> OutputError | None:
    for output in job.possible if read else ():
        for identity in _identities([output]):
            if identity in read:
                also = f", which is {read[identity]}" if read[identity] != str(output) else ""
                return OutputError(
                    f"output would replace an input: {output}{also}",
                    "choose another --output-dir or --name",
                )
    return None


def _cuts_into(job: Job, holding: Mapping[str, Path]) -> OutputError | None:
    """Return the error of a job whose segments would go into a folder that holds an input."""
    if job.segments is None or (held := holding.get(os.path.realpath(job.segments))) is None:
        return None
    return OutputError(
        f"segments would go into a folder that holds an input: {job.segments}, {held}",
        "choose another folder for --segments",
    )


def _identities(paths: Iterable[Path | None]) -> dict[tuple[int, int], str]:
    """Return device and number of each file that is there, whatever link leads to it → its name.

    None is standard input, which may come from a file.
    """
    found = {}
    for path in paths:
        try:
            status = os.fstat(sys.stdin.fileno()) if path is None else path.stat()
        except (OSError, ValueError, AttributeError):  # not there, or no file behind it
            continue
        found[status.st_dev, status.st_ino] = "standard input" if path is None else str(path)
    return found
