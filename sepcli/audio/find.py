"""Finding recordings: the files that a name on the command line stands for."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from sepcli.audio.containers import EXTENSIONS
from sepcli.audio.sources import check_regular
from sepcli.errors import AudioError
from sepcli.files.temporary import printable

SkipNote = Callable[[Path, str], None]


def find_audio_files(
    path: Path, recursive: bool = False, on_skip: SkipNote | None = None
) -> list[Path]:
    """Return the recordings that `path` stands for, sorted.

    A file that is named is returned whatever its ending: the reader looks at its content. In a
    folder, files are chosen by their ending; hidden files and folders, and temporaries of this
    program, are passed over. Links are followed, folders reached twice are entered once.

    Args:
        path: A file or a folder.
        recursive: Whether sub-folders are searched.
        on_skip: Called with each entry of a folder that looks like a recording but cannot be
            one (a link that leads nowhere, a pipe, a folder that may not be listed) and why.

    Raises:
        AudioError: It does not exist or cannot be a recording, or the folder holds none.
    """
    if not os.path.isdir(path):  # noqa: PTH112 (Path's raises where a name is too long)
        check_regular(path)
        return [path]
    found: list[Path] = []
    others: Counter[str] = Counter()
    num_folders = 0
    for entry_path, kind in _walk(path, recursive, on_skip or (lambda path, reason: None)):
        if kind == "folder":
            num_folders += 1
        elif kind == "audio":
            found.append(entry_path)
        else:
            others[_ending(entry_path.name) or "without an ending"] += 1
    if not found:
        raise _nothing_found(path, recursive, others, num_folders)
    return sorted(found, key=os.fsencode)


def _ending(name: str) -> str:
    """Return a name's ending in small letters, with its dot; empty where there is none."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (a name, not a path)


def _walk(root: Path, recursive: bool, skip: SkipNote) -> Iterator[tuple[Path, str]]:
    """Yield every visible entry below `root` with its kind: `audio`, `other` or `folder`.

    Without recursion of its own, so that no depth of folders is too deep.
    """
    waiting = [root]
    entered: set[tuple[int, int]] = set()
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as scan:
                entries = [entry for entry in scan if not entry.name.startswith(".")]
        except OSError as error:
            if folder == root:
                raise AudioError(
                    f"folder cannot be listed: {printable(folder)}",
                    "check its permissions with ls -ld",
                ) from error
            skip(folder, f"cannot be listed ({(error.strerror or 'unknown').lower()})")
            continue
        for entry in entries:
            path = folder / entry.name
            kind = _kind(entry, path, skip)
            if kind == "folder" and recursive:
                waiting.append(path)
            if kind:
                yield path, kind


def _kind(entry: os.DirEntry[str], path: Path, skip: SkipNote) -> str:
    """Return `audio`, `other` or `folder`; empty for what was skipped with a note."""
    try:
        # the folder's listing knows, except for links: no further look at each of 10,000 files
        is_folder, is_file = entry.is_dir(), entry.is_file()
    except OSError:
        is_folder = is_file = False  # a link to itself
    if is_folder:
        return "folder"
    if _ending(entry.name) not in EXTENSIONS:
        return "other"
    if not is_file:
        # os.path's never raises, unlike Path's
        exists = os.path.exists(path)  # noqa: PTH110
        skip(path, "not a regular file" if exists else "a link that leads nowhere")
        return ""
    return "audio"


def _nothing_found(
    path: Path, recursive: bool, others: Counter[str], num_folders: int
) -> AudioError:
    """Return the error for a folder without recordings, saying what is there instead."""
    parts = [f"{count} {printable(ending)}" for ending, count in others.most_common(4)]
    if num_folders:
        parts.append(f"{num_folders} sub-folder{'s' if num_folders > 1 else ''}")
    hint = f"found there: {', '.join(parts)}" if parts else "the folder is empty"
    if num_folders and not recursive:
        hint += "; use --recursive to search sub-folders"
    return AudioError(f"no recordings in the folder: {printable(path)}", hint)
