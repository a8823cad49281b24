"""Which files a run will write: inputs → jobs, decided before anything is computed."""

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sepcli.errors import AudioError, OutputError, SepcliError, UsageError
from sepcli.separation.naming import Naming

T = TypeVar("T")
OnSkip = Callable[[Path, str], None]
Span = tuple[float | None, float | None]  # where a part begins and ends [s]; None: the whole's end

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
    """

    source: Path | None
    outputs: tuple[Path, ...]
    span: Span = (None, None)
    row: Mapping[str, Any] | None = field(default=None, compare=False)
    optional: tuple[Path, ...] = ()
    labels: tuple[Path, ...] = ()
    segments: Path | None = None

    @property
    def all_outputs(self) -> tuple[Path, ...]:
        """Paths of all speakers there may be."""
        return self.outputs + self.optional

    @property
    def possible(self) -> tuple[Path, ...]:
        """All files that may be written, but for those of `segments`."""
        return self.all_outputs + self.labels

    @property
    def places(self) -> tuple[Path, ...]:
        """All paths that belong to this job alone."""
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


def plan_jobs(
    inputs: Sequence[str],
    naming: Naming,
    *,
    recursive: bool,
    overwrite: bool = False,
    also_read: Sequence[Path] = (),
    on_skip: OnSkip = lambda path, reason: None,
) -> tuple[list[Job], list[Failure]]:
    """Return the jobs for files, folders and `-`, sorted within a folder, and what has none.

    What a folder holds is left out where it is an output of this run, lies in its output folder, or
    is named like an output of another recording that is found, so that a second run does not
    separate what the first one wrote. A file named twice is done once. Recordings that would
    write the same file are failures, each of them.

    Args:
        inputs: Files, folders, or `-` for standard input.
        naming: How outputs are named.
        recursive: Whether folders are searched to any depth.
        overwrite: Whether outputs replace what is there; an input of the run they never replace.
        also_read: What else the run reads and must not replace.
        on_skip: Told what in a folder looks like a recording and is left out, and why.
    """
    jobs: dict[str, Job] = {}
    is_named: set[str] = set()
    failures: list[Failure] = []
    for name in dict.fromkeys(inputs):
        try:
            for source, inside in _expand(name, naming, recursive, on_skip):
                key = STDIN if source is None else str(source.absolute())
                certain, optional = naming.certain_and_optional(source, inside or Path())
                job = Job(
                    source,
                    certain,
                    optional=optional,
                    labels=naming.label_paths(source, inside or Path()),
                    segments=naming.segment_folder(source, inside or Path()),
                )
                jobs.setdefault(key, job)
                if inside is None:
                    is_named.add(key)
        except SepcliError as error:
            failures.append(Failure(name, error))
    left_out = _outputs_among(jobs, jobs.keys() - is_named, naming, on_skip)
    once = _without_doubles(job for key, job in jobs.items() if key not in left_out)
    kept, refused = refuse_conflicts(once, overwrite=overwrite, also_read=also_read)
    return kept, failures + refused


def refuse_conflicts(
    jobs: Sequence[Job], *, overwrite: bool, also_read: Sequence[Path]
) -> tuple[list[Job], list[Failure]]:
    """Return the jobs whose outputs replace neither each other nor an input, and the others."""
    read = _identities([*(job.source for job in jobs), *also_read]) if overwrite else {}
    holding = {job.source.resolve().parent: job.label for job in jobs if job.source is not None}
    collisions = _collisions(jobs)
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


def parse_shard(text: str) -> tuple[int, int]:
    """Return `(index, count)` of a shard given as `I/N`.

    Raises:
        UsageError: It is not `I/N` with 1 <= I <= N.
    """
    index, slash, count = text.partition("/")
    if slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count):
        return int(index), int(count)
    raise UsageError(
        f"not a shard: {text}", "use --shard I/N with I from 1 to N, as in --shard 3/8"
    )


def _expand(
    named: str, naming: Naming, recursive: bool, on_skip: OnSkip
) -> Iterator[tuple[Path | None, Path | None]]:
    """Yield each recording behind one argument, with its folder relative to a searched one."""
    if named == STDIN:
        yield None, None
        return
    from sepcli.audio import find_audio_files  # here: `--help` need not wait for numpy

    path = Path(named)
    if named and path.is_dir():
        written = {folder.resolve() for folder in (naming.folder, naming.segments) if folder}
        avoid = written - {path.resolve()}
        for found in find_audio_files(path, recursive, on_skip):
            if not any(found.resolve().is_relative_to(folder) for folder in avoid):
                yield found, found.relative_to(path).parent
    elif not named:
        raise AudioError(f"no such file or folder: {named!r}", "name a recording, a folder or -")
    elif path.exists() or path.is_symlink():
        yield path, None
    else:
        raise AudioError(f"no such file or folder: {named}", _nearest(path))


def _nearest(path: Path) -> str:
    """Return a hint that names the most similar file beside `path`."""
    if any(sign in path.name for sign in "*?["):
        return "the shell found no match for the pattern: check the folder it names"
    try:
        beside = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"check the folder: ls {path.parent}"
    close = difflib.get_close_matches(path.name, beside, n=1)
    return f"did you mean {path.parent / close[0]}" if close else f"look into: ls {path.parent}"


def _outputs_among(
    jobs: Mapping[str, Job], searched: Set[str], naming: Naming, on_skip: OnSkip
) -> set[str]:
    """Return which of the files that a search found this run writes or an earlier one wrote."""
    written = {path.resolve() for job in jobs.values() for path in job.possible}
    folders = {job.segments.resolve() for job in jobs.values() if job.segments is not None}
    stems = {job.source.stem for job in jobs.values() if job.source is not None}
    own, earlier = [], []
    for name in [name for name in jobs if name in searched]:
        path = Path(name)
        if path.resolve() in written or path.resolve().parent in folders:
            own.append(name)
        elif naming.stems_behind(path.stem) & stems:
            earlier.append(name)
    for names, reason in (
        (own, "an output of this run has its name"),
        (earlier, "named like an output of an earlier run"),
    ):
        if names:
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            on_skip(Path(jobs[names[0]].label), f"{reason}{others}")
    return {*own, *earlier}


def _without_doubles(jobs: Iterable[Job]) -> list[Job]:
    """Return jobs without those that would do a file again, reached by another way."""
    once: dict[tuple[Path | None, Path], Job] = {}
    for job in jobs:
        once.setdefault((job.source and job.source.resolve(), _place(job.outputs[0])), job)
    return list(once.values())


def _collisions(jobs: Iterable[Job]) -> dict[Job, OutputError]:
    """Return the error of every job that shares an output with another one."""
    owners: dict[Path, list[Job]] = {}
    for job in jobs:
        for output in job.places:
            owners.setdefault(_place(output), []).append(job)
    return {
        job: OutputError(
            f"two inputs would write the same file: {sharing[0].label} and {sharing[1].label}",
            "tell them apart, as in --name '{stem}_{ext}_spk{speaker}', or run them apart",
        )
        for sharing in owners.values()
        if len(sharing) > 1
        for job in sharing
    }


def _place(output: Path) -> Path:
    """Return where an output will lie; a link that has its name is replaced, not followed."""
    return output.parent.resolve() / output.name


def _replaces(job: Job, read: dict[tuple[int, int], str]) -> OutputError | None:
    for output in job.possible:
        for identity in _identities([output]):
            if identity in read:
                also = f", which is {read[identity]}" if read[identity] != str(output) else ""
                return OutputError(
                    f"output would replace an input: {output}{also}",
                    "choose another --output-dir or --name",
                )
    return None


def _cuts_into(job: Job, holding: Mapping[Path, str]) -> OutputError | None:
    """Return the error of a job whose segments would go into a folder that holds an input."""
    if job.segments is None or (held := holding.get(job.segments.resolve())) is None:
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
