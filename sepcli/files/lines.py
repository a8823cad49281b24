"""Lines that several runs add to one file: whole ones, whatever ends a run."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sepcli.files.pending import PendingFile, output_error

try:
    import fcntl
except ImportError:  # Windows: runs that share a file are not kept apart there
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Added:
    """What became of a file that lines were added to.

    Attributes:
        replaced: Lines that go.
        anew: The file as it will be, to be published with what the lines are about; None where
            they stand at its end already.
    """

    replaced: tuple[bytes, ...] = ()
    anew: PendingFile | None = None


@contextmanager
def lines_added(path: Path, lines: bytes, is_replaced: Callable[[bytes], bool]) -> Iterator[Added]:
    """Add lines of JSON to a file, in a block that holds its lock; if it raises, they go again.

    Where nothing is replaced they are appended: lines of others are not copied. A run that is
    killed in the block leaves lines of what it did not finish, until the next one replaces them.

    Args:
        path: The file; made where it is not there.
        lines: With their ends.
        is_replaced: Whether these replace a line.

    Raises:
        OutputError: They cannot be written.
    """
    try:
        descriptor = _locked(path)
    except OSError as error:
        raise output_error(path, error) from error
    try:
        size = _without_torn_line(descriptor)
        replaced = tuple(line for line in _lines(descriptor) if is_replaced(line))
        if replaced:
            anew = _written_anew(path, descriptor, lines, is_replaced)
            try:
                yield Added(replaced, anew)
            finally:
                anew.discard()
            return
        try:
            _append(descriptor, lines)
            yield Added()
        except BaseException:
            os.ftruncate(descriptor, size)
            raise
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int:
    """Return the descriptor of a file whose lock is ours until it is closed.

    A disk without locks gives none.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            if fcntl is not None:
                with suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # another run has put a new file there meanwhile


def _without_torn_line(descriptor: int) -> int:
    """Return the length of a file after a line without an end got one, or went if it is no JSON."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    start, tail = size, b""
    while start > 0 and b"\n" not in tail:
        start = max(0, start - (1 << 16))
        os.lseek(descriptor, start, os.SEEK_SET)
        tail = os.read(descriptor, size - start)
    torn = tail[tail.rfind(b"\n") + 1 :]
    if not torn:
        return size
    try:
        json.loads(torn)
    except ValueError:
        os.ftruncate(descriptor, size - len(torn))
        return size - len(torn)
    _append(descriptor, b"\n")
    return size + 1


def _lines(descriptor: int) -> Iterator[bytes]:
    """Yield the lines of an open file from its beginning."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        yield from file


def _append(descriptor: int, lines: bytes) -> None:
    os.lseek(descriptor, 0, os.SEEK_END)
    view = memoryview(lines)
    while view:
        view = view[os.write(descriptor, view) :]


def _written_anew(
    path: Path, descriptor: int, lines: bytes, is_replaced: Callable[[bytes], bool]
) -> PendingFile:
    """Return a closed file that holds the lines of another that stay, and then these."""
    file = PendingFile(path, overwrite=True)
    try:
        for line in _lines(descriptor):
            if not is_replaced(line):
                file.write(line)
        file.write(lines)
        file.close()
        file.check()
    except BaseException:
        file.discard()
        raise
    return file
