"""Inputs → jobs: files, folders and `-`, found before anything is computed."""

import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import cache
from pathlib import Path

from sepcli.errors import AudioError, SepcliError
from sepcli.files import real_path
from sepcli.separation.jobs import STDIN, Failure, Job, Span, job_of, refuse_conflicts
from sepcli.separation.naming import Naming, is_segment_stem
from sepcli.separation.places import Place, Places

OnSkip = Callable[[Path, str], None]


def plan_jobs(
    inputs: Sequence[str],
    naming: Naming,
    *,
    recursive: bool,
    span: Span = (None, None),
    overwrite: bool = False,
    also_read: Sequence[Path] = (),
    on_skip: OnSkip = lambda path, reason: None,
) -> tuple[list[Job], list[Failure]]:
    """Return the jobs for files, folders and `-`, sorted within a folder, and what has none.

    What a folder holds is left out where it is a voice of this run, an output of it, lies in its
    output folder, or is named like an output of another recording that is found, so that a second
    run does not separate what the first one wrote. A file named twice is done once. Recordings that
    would write the same file are failures, each of them.

    Args:
        inputs: Files, folders, or `-` for standard input.
        naming: How outputs are named.
        recursive: Whether folders are searched to any depth.
        span: Which part of each recording is wanted [s].
        overwrite: Whether outputs replace what is there; an input of the run they never replace.
        also_read: What else the run reads and must not replace: recordings of people's voices.
        on_skip: Told what in a folder looks like a recording and is left out, and why.
    """
    places = Places()
    jobs: dict[str, Job] = {}
    is_named: set[str] = set()
    failures: list[Failure] = []
    for name in dict.fromkeys(inputs):
        try:
            for source, inside in _expand(name, naming, recursive, places, on_skip):
                key = STDIN if source is None else str(source.absolute())
                jobs.setdefault(key, job_of(source, naming, inside or Path(), span=span))
                if inside is None:
                    is_named.add(key)
        except SepcliError as error:
            failures.append(Failure(name, error))
    voices = _voices_among(jobs, jobs.keys() - is_named, also_read, places, on_skip)
    jobs = {key: job for key, job in jobs.items() if key not in voices}
    left_out = _outputs_among(
        jobs, jobs.keys() - is_named, naming, places, on_skip, replaces=overwrite
    )
    once = _without_doubles((job for key, job in jobs.items() if key not in left_out), places)
    kept, refused = refuse_conflicts(once, overwrite=overwrite, also_read=also_read)
    return kept, failures + refused


def _expand(
    named: str, naming: Naming, recursive: bool, places: Places, on_skip: OnSkip
) -> Iterator[tuple[Path | None, Path | None]]:
    """Yield each recording behind one argument, with its folder relative to a searched one."""
    if named == STDIN:
        yield None, None
        return
    from sepcli.audio import find_audio_files  # here: `--help` need not wait for numpy

    path = Path(named)
    if os.path.isdir(named):  # noqa: PTH112 (Path's raises what the system refuses)
        written = {real_path(folder) for folder in (naming.folder, naming.segments) if folder}
        avoid = written - {real_path(path)}
        is_avoided = cache(lambda folder: any(Path(folder).is_relative_to(each) for each in avoid))
        for found in find_audio_files(path, recursive, on_skip):
            if not is_avoided(places.of_content(found)[0]):
                yield found, found.relative_to(path).parent
    elif not named:
        raise AudioError(f"no such file or folder: {named!r}", "name a recording, a folder or -")
    else:
        _require_present(named)
        yield path, None


def _require_present(named: str) -> None:
    """Raise `AudioError` unless something has that name, be it a link that leads nowhere."""
    from sepcli.audio.sources import not_opened

    path = Path(named)
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a NUL in it
        raise AudioError(f"no such file or folder: {named}", _nearest(path)) from error
    except OSError as error:
        raise not_opened(path, error) from error


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


def _voices_among(
    jobs: Mapping[str, Job],
    searched: Set[str],
    known: Sequence[Path],
    places: Places,
    on_skip: OnSkip,
) -> set[str]:
    """Return which of the files that a search found are no conversations but known voices."""
    voices = set(map(places.of_content, known))
    found = [each for each in jobs if each in searched and places.of_content(Path(each)) in voices]
    _tell(jobs, found, "a recording of --voice", on_skip)
    return set(found)


def _outputs_among(
    jobs: Mapping[str, Job],
    searched: Set[str],
    naming: Naming,
    places: Places,
    on_skip: OnSkip,
    *,
    replaces: bool,
) -> set[str]:
    """Return which of the files that a search found this run writes or an earlier one wrote."""
    written = {places.of_content(path) for job in jobs.values() for path in job.possible}
    folders = {os.path.realpath(job.segments) for job in jobs.values() if job.segments is not None}
    stems = {job.source.stem for job in jobs.values() if job.source is not None}
    speakers = "|".join(["spk[0-9]+", *map(re.escape, naming.names)])
    own, earlier = [], []
    for name in [name for name in jobs if name in searched]:
        path = Path(name)
        place = places.of_content(path)
        if place in written or place[0] in folders:
            own.append(name)
        elif naming.stems_behind(path.stem) & stems or (
            path.parent.name in stems and is_segment_stem(path.stem, speakers)
        ):
            earlier.append(name)
    for names, reason in (
        (own, f"an output of this run has its name{' and replaces it' if replaces else ''}"),
        (earlier, "named like an output of an earlier run"),
    ):
        _tell(jobs, names, reason, on_skip)
    return {*own, *earlier}


def _tell(jobs: Mapping[str, Job], names: Sequence[str], reason: str, on_skip: OnSkip) -> None:
    """Tell of files that are left out for one reason: the first, and how many more."""
    if names:
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        on_skip(Path(jobs[names[0]].label), f"{reason}{others}")


def _without_doubles(jobs: Iterable[Job], places: Places) -> list[Job]:
    """Return jobs without those that would do a file again, reached by another way."""
    once: dict[tuple[Place | None, Place], Job] = {}
    for job in jobs:
        source = None if job.source is None else places.of_content(job.source)
        once.setdefault((source, places.of_name(job.possible[0])), job)
    return list(once.values())
