"""Which files a run will write: inputs → jobs, decided before anything is computed."""

import difflib
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sepcli.errors import AudioError, SepcliError, UsageError

T = TypeVar("T")

STDIN = "-"
DEFAULT_NAME = "{stem}_spk{speaker}"
_FIELDS = {"stem", "ext", "speaker", "model"}


@dataclass(frozen=True)
class Job:
    """One recording and the files its estimates go to.

    Attributes:
        source: The recording; None for standard input.
        outputs: One path per speaker.
    """

    source: Path | None
    outputs: tuple[Path, ...]

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


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How outputs are named.

    Attributes:
        folder: Where outputs go.
        extension: Their ending, without the dot.
        template: File name without ending; may use `{stem}`, `{ext}`, `{speaker}`, `{model}`.
        model: Name of the model, for the template.
        num_speakers: Files per recording.
    """

    folder: Path
    extension: str
    template: str = DEFAULT_NAME
    model: str = ""
    num_speakers: int = 2

    def paths(self, source: Path | None, inside: Path) -> tuple[Path, ...]:
        """Return the outputs of `source`, in the sub-folder `inside` of the output folder."""
        stem = "stdin" if source is None else source.stem
        ext = "wav" if source is None else source.suffix.lstrip(".")
        return tuple(
            self.folder
            / inside
            / (
                self.template.format(stem=stem, ext=ext, speaker=number, model=self.model)
                + f".{self.extension}"
            )
            for number in range(1, self.num_speakers + 1)
        )


def check_template(template: str) -> None:
    """Raise `UsageError` unless `template` names files of its own for every speaker."""
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as cause:
        raise UsageError(f"name template is malformed: {template}", _template_hint()) from cause
    if unknown := fields - _FIELDS:
        raise UsageError(f"unknown field in the name template: {min(unknown)}", _template_hint())
    if "speaker" not in fields:
        raise UsageError(f"name template has no {{speaker}}: {template}", _template_hint())
    try:
        template.format(stem="", ext="", speaker=1, model="")
    except (ValueError, TypeError) as cause:
        raise UsageError(f"name template is malformed: {template}", _template_hint()) from cause
    if "/" in template or "\\" in template:
        raise UsageError(f"name template has a folder in it: {template}", "use --output-dir")


def plan_jobs(
    inputs: Sequence[str],
    naming: Naming,
    *,
    recursive: bool,
    on_skip: Callable[[Path, str], None] = lambda path, reason: None,
) -> tuple[list[Job], list[Failure]]:
    """Return the jobs for files, folders and `-`, sorted within a folder, and what has none.

    What a folder holds is left out where it is an output or lies in an output folder inside it, so
    that a second run does not separate what the first one wrote. A file named twice is done once.

    Args:
        inputs: Files, folders, or `-` for standard input.
        naming: How outputs are named.
        recursive: Whether folders are searched to any depth.
        on_skip: Told what in a folder looks like a recording but cannot be one, and why.

    Raises:
        UsageError: Two inputs would write the same file.
    """
    jobs: dict[str, Job] = {}
    failures: list[Failure] = []
    for named in dict.fromkeys(inputs):
        try:
            for source, inside in _expand(named, naming.folder, recursive, on_skip):
                key = STDIN if source is None else str(source.absolute())
                jobs.setdefault(key, Job(source, naming.paths(source, inside)))
        except SepcliError as error:
            failures.append(Failure(named, error))
    written = {path.resolve() for job in jobs.values() for path in job.outputs}
    asked_for = {STDIN, *(str(Path(named).absolute()) for named in inputs)}
    kept = [j for key, j in jobs.items() if key in asked_for or Path(key).resolve() not in written]
    _refuse_collisions(kept)
    return kept, failures


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
    named: str, output_folder: Path, recursive: bool, on_skip: Callable[[Path, str], None]
) -> Iterable[tuple[Path | None, Path]]:
    """Yield each recording behind one argument, with its folder relative to the argument."""
    if named == STDIN:
        yield None, Path()
        return
    from sepcli.audio import find_audio_files  # here: `--help` need not wait for numpy

    path = Path(named)
    if named and path.is_dir():
        avoid = output_folder.resolve()
        for found in find_audio_files(path, recursive, on_skip):
            if not found.resolve().is_relative_to(avoid) or avoid == path.resolve():
                yield found, found.relative_to(path).parent
    elif not named:
        raise AudioError(f"no such file or folder: {named!r}", "name a recording, a folder or -")
    elif path.exists() or path.is_symlink():
        yield path, Path()
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


def _refuse_collisions(jobs: Iterable[Job]) -> None:
    owner: dict[Path, Job] = {}
    for job in jobs:
        for output in job.outputs:
            other = owner.setdefault(output, job)
            if other is not job:
                raise UsageError(
                    f"two inputs would write the same file: {other.label} and {job.label}",
                    "tell them apart, as in --name '{stem}_{ext}_spk{speaker}', or run them apart",
                )


def _template_hint() -> str:
    return "use {stem}, {ext}, {model} and {speaker}, as in --name '{stem}_spk{speaker}'"
