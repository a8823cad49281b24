"""Files that outlive a run, in a folder that is provably this user's, wherever it lies.

The parent may be a disk that all may write to. Nothing is opened, changed or removed there that
is not a regular file of this user, without other names, below no link, and begun with the marker
of the program; who goes on writing to it holds its lock.
"""

import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from sepcli.errors import OutputError
from sepcli.files.temporary import printable

try:
    import fcntl
except ImportError:  # Windows: nothing can be locked, so nothing is kept
    fcntl = None  # type: ignore[assignment]

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# a link is not followed, and a pipe does not make the call wait
_FLAGS = (
    os.O_RDWR
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)


def private_folder(parent: Path, name: str) -> Path:
    """Return the folder `name` of this user in `parent`, made where it is not there.

    On a system with user numbers these stand in the name, so that users may share the parent.

    Raises:
        OutputError: What has the name is a link, another user's, or open to others.
        OSError: It cannot be made.
    """
    folder = parent / (f"{name}-{os.geteuid()}" if hasattr(os, "geteuid") else name)
    parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or not _is_ours(status) or _is_open(status):
            raise _foreign(folder) from None
    return folder


def open_private(path: Path, marker: bytes) -> IO[bytes] | None:
    """Return a file of ours, locked, its position behind the marker; None where it is in use.

    It is made where it is not there. None also comes from a disk that knows no locks.

    Raises:
        OutputError: What has the name is a link or not a file of ours.
        OSError: It cannot be made or opened.
    """
    while True:
        file = _open(path, os.O_CREAT)
        try:
            if not _lock(file.fileno()):
                file.close()
                return None
            if _has_name(file.fileno(), path):
                _begin(file, marker, path)
                return file
            file.close()  # its last owner removed it meanwhile
        except BaseException:
            file.close()
            raise


def _open(path: Path, more_flags: int = 0) -> IO[bytes]:
    """Return a file of ours.

    Raises:
        OutputError: What has the name is something else.
        OSError: It cannot be opened.
    """
    try:
        descriptor = os.open(path, _FLAGS | more_flags, 0o600)
    except OSError as error:
        if path.is_symlink():
            raise _foreign(path) from error
        raise
    try:
        status = os.fstat(descriptor)
        # a second name would be one that somebody else gave to a file of this user
        if not (stat.S_ISREG(status.st_mode) and _is_ours(status) and status.st_nlink <= 1):
            raise _foreign(path)
        return os.fdopen(descriptor, "r+b")
    except BaseException:
        os.close(descriptor)
        raise


def _begin(file: IO[bytes], marker: bytes, path: Path) -> None:
    """Read the marker, or write it into a file that is new or was left in the middle of it."""
    head = file.read(len(marker))
    if not marker.startswith(head):
        raise _foreign(path)
    if head != marker:
        file.seek(0)
        file.write(marker)
        file.flush()


def remove_old(folder: Path, name: re.Pattern[str], marker: bytes, seconds: float) -> None:
    """Remove files of ours in `folder` that nobody uses and nobody has changed for `seconds`.

    Args:
        folder: One that `private_folder` returned.
        name: What their names look like, from end to end.
        marker: What they begin with.
        seconds: How old they are at least.
    """
    for path in folder.iterdir():
        if not name.fullmatch(path.name):
            continue
        try:
            if time.time() - path.lstat().st_mtime > seconds:
                _remove(path, marker)
        except (OSError, OutputError):  # another run was faster, or it is no file of ours
            continue


def _remove(path: Path, marker: bytes) -> None:
    """Remove a file of ours, unless it is in use or does not begin with the marker."""
    with _open(path) as file:
        if not (_lock(file.fileno()) and _has_name(file.fileno(), path)):
            return
        if file.read(len(marker)) == marker:
            path.unlink()


def _is_ours(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


def _is_open(status: os.stat_result) -> bool:
    """Return whether other users may look into a folder or write to it."""
    return hasattr(os, "geteuid") and bool(status.st_mode & _OTHERS)


def _has_name(descriptor: int, path: Path) -> bool:
    """Return whether `path` still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _lock(descriptor: int) -> bool:
    """Return whether the lock was free, and is ours until the file is closed."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def _foreign(path: Path) -> OutputError:
    return OutputError(
        f"not a private file or folder of sepcli: {printable(path)}",
        "move it away, or point SEPCLI_SPOOL at a folder of your own",
    )
