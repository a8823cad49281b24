"""Names of files: how to print any of them, and how temporary ones are made and recognised."""

import hashlib
import os
import platform
import threading
from pathlib import Path

TEMPORARY_PREFIX = ".sepcli-"
TEMPORARY_SUFFIX = ".part"

# Names this process made and has not given up; a restarted container gets the same pid again, so
# the pid alone would not tell our own temporaries from those of a dead predecessor.
_own: set[str] = set()
_own_lock = threading.Lock()


def printable(name: os.PathLike[str] | str) -> str:
    r"""Return a file's name, or any text, on one line that every terminal and log can take.

    Bytes that are not UTF-8 and control characters are written as escapes (`\xff`, `\n`); they
    could otherwise break a line in two, move the cursor, or fail to encode.
    """
    text = os.fspath(name)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def real_path(path: os.PathLike[str] | str) -> Path:
    """Return where a path leads, past all links; unlike pathlib's, one to itself is no error."""
    return Path(os.path.realpath(path))


def _escaped(character: str) -> str:
    """Return an escape; where it stands for a byte that is no UTF-8, that of the byte."""
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def host_token() -> str:
    """Return eight hex digits that differ between machines and between process namespaces.

    A process id means something only where it was given out: on a shared folder the writer may
    live on another machine or in another container.
    """
    try:
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (not a path)
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{platform.node()}\0{namespace}".encode()).hexdigest()[:8]


def create_temporary(folder: Path) -> tuple[int, Path]:
    """Return the open descriptor and the path of a new hidden file in `folder`.

    The name holds host and process, so that a later run can tell a leftover from a file that is
    being written, and 64 random bits, so that nobody can put a link there beforehand. The file
    has the permissions of any new file (0o666 less the umask).

    Raises:
        OSError: The folder does not take new files.
    """
    binary = getattr(os, "O_BINARY", 0)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | binary
    while True:
        path = folder / temporary_name()
        try:
            return os.open(path, flags, 0o666), path
        except FileExistsError:
            forget_temporary(path)
        except OSError:
            forget_temporary(path)
            raise


def temporary_name() -> str:
    """Return a new name, which counts as in use until `forget_temporary` is told of it."""
    token = os.urandom(8).hex()
    name = f"{TEMPORARY_PREFIX}{host_token()}-{os.getpid()}-{token}{TEMPORARY_SUFFIX}"
    with _own_lock:
        _own.add(name)
    return name


def forget_temporary(path: Path) -> None:
    """Say that a temporary of this process was removed or renamed."""
    with _own_lock:
        _own.discard(path.name)


def is_stale(name: str) -> bool:
    """Return whether a file name is that of a temporary whose process is known to be dead.

    Unknown hosts count as alive: their processes cannot be seen from here.
    """
    if not (name.startswith(TEMPORARY_PREFIX) and name.endswith(TEMPORARY_SUFFIX)):
        return False
    parts = name[len(TEMPORARY_PREFIX) : -len(TEMPORARY_SUFFIX)].split("-")
    if len(parts) != 3 or parts[0] != host_token() or not parts[1].isdecimal():
        return False
    pid = int(parts[1])
    if pid == os.getpid():
        with _own_lock:
            return name not in _own
    return not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    """Return whether a process of this machine exists; True where that cannot be known."""
    if os.name != "posix":
        return True  # os.kill(pid, 0) would end the process on Windows
    try:
        os.kill(pid, 0)  # pragma: no mutate (any other signal would end our own parent)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
