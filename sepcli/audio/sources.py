"""Opening what the user named: a regular file, or a stream that is spooled to a temporary one."""

import errno
import io
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from sepcli.audio.waiting import read_some
from sepcli.errors import AudioError, OutputError
from sepcli.files.temporary import printable

STDIN = "-"
COPY_BYTES = 1 << 20
Source = Path | str | BinaryIO

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class OpenFile(io.FileIO):
    """A file that ends where its disk fails, and keeps what the disk said.

    libsndfile asks for bytes from C, where an exception would be printed and forgotten.

    Attributes:
        failure: What the disk said first; None while all is well.
    """

    failure: OSError | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        """Return some of the next bytes; none at the end, and where they cannot be read."""
        try:
            return super().read(-1 if size is None else size) or b""
        except OSError as error:
            self.failure = self.failure or error
            return b""

    def readinto(self, buffer: Any, /) -> int:
        """Fill some of `buffer`, and return how much; 0 where nothing can be read."""
        try:
            return super().readinto(buffer) or 0
        except OSError as error:
            self.failure = self.failure or error
            return 0


def source_name(source: Source) -> str:
    """Return what to call a source in messages."""
    if isinstance(source, Path) or (isinstance(source, str) and source != STDIN):
        return printable(source)
    return "standard input" if source == STDIN else "the stream"


def check_regular(path: Path) -> None:
    """Return if `path` leads to a regular file; nothing is opened, so nothing can hang.

    Raises:
        AudioError: It does not exist, leads nowhere, or is something else.
    """
    name = printable(path)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise not_opened(path, error) from error
    except ValueError as error:  # an embedded NUL
        raise AudioError(f"not a file name: {name}", "it holds a NUL byte") from error
    if stat.S_ISREG(mode):
        return
    kind = next((word for test, word in KINDS if test(mode)), "not a file")
    hint = "name a recording; a stream goes in on standard input: … | sepcli separate -"
    raise AudioError(f"{kind}, not a recording: {name}", hint)


def not_opened(path: Path, error: OSError) -> AudioError:
    """Return the error for a path that cannot be reached or opened."""
    name = printable(path)
    if isinstance(error, FileNotFoundError):
        if os.path.islink(path):  # noqa: PTH114 (Path's may raise)
            return AudioError(
                f"link leads nowhere: {name}", "restore what it points at, or name the file itself"
            )
        return AudioError(f"no such file: {name}", "check the spelling, or list the folder with ls")
    if isinstance(error, PermissionError):
        return AudioError(f"not allowed to read: {name}", "check its permissions with ls -l")
    if error.errno == errno.ELOOP:
        return AudioError(f"link leads in a circle: {name}", "name the file itself")
    why = (error.strerror or "unknown reason").lower()
    return AudioError(f"cannot be opened ({why}): {name}", "check the path and the disk")


def check_disk(file: OpenFile, name: str) -> None:
    """Return if the disk is not why a file ended.

    libsndfile reads most formats itself and takes an error for the end. Its place in the file is
    this one's too, where reading fails again.

    Raises:
        AudioError: It is.
    """
    place = file.tell()
    file.read(1)
    file.seek(place)
    if file.failure is not None:
        raise _broken_off(name, file.failure)


def _broken_off(name: str, error: OSError) -> AudioError:
    """Return the error for a source that could be opened, and not read to its end."""
    why = (error.strerror or "failed").lower()
    hint = "check the disk, or copy it again"
    return AudioError(f"cannot be read to its end ({why}): {name}", hint)


def open_source(source: Source) -> OpenFile:
    """Return an open, seekable file with the bytes of `source`; the caller closes it.

    A stream is copied to a nameless temporary file first (in `TMPDIR`): decoders need to seek.

    Raises:
        AudioError: The source cannot be read.
        OutputError: There is no room for the temporary copy.
    """
    if isinstance(source, str) and source != STDIN:
        source = Path(source)
    if isinstance(source, Path):
        check_regular(source)
        return _open_regular(source)
    stream = sys.stdin.buffer if isinstance(source, str) and sys.stdin else source
    if isinstance(stream, str) or stream.isatty():
        raise AudioError("nothing comes in on standard input", "… | sepcli separate -")
    return _spool(stream, source_name(source))


def _open_regular(path: Path) -> OpenFile:
    """Return the open file, once something could be read of it."""
    try:
        # O_NONBLOCK: should the file have become a pipe since, opening it must not wait
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        file = OpenFile(os.open(path, flags))
    except OSError as error:
        raise not_opened(path, error) from error
    file.read(1)
    try:
        if file.failure is not None:
            raise file.failure
        file.seek(0)
    except OSError as error:
        file.close()
        raise not_opened(path, error) from error
    return file


def _spool(stream: IO[bytes], name: str) -> OpenFile:
    """Return a nameless temporary file with everything that `stream` still holds."""
    try:
        spool = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed below)
    except OSError as error:
        raise _no_spool(name, error) from error
    with spool:
        for piece in _pieces(stream, name):
            _write(spool, piece, name)
        if spool.tell() == 0:
            raise AudioError(
                f"nothing to read: {name} is empty", "is there a sound in what feeds it?"
            )
        spool.seek(0)
        return OpenFile(os.dup(spool.fileno()))  # the file is there as long as this is open


def _pieces(stream: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield what comes from a stream."""
    while True:
        try:
            piece = read_some(stream, COPY_BYTES)
        except OSError as error:
            raise _broken_off(name, error) from error
        if not piece:
            return
        yield piece


def _write(spool: IO[bytes], data: bytes, name: str) -> None:
    """Write all of `data`."""
    view = memoryview(data)
    try:
        while view:
            view = view[spool.write(view) :]
    except OSError as error:
        raise _no_spool(name, error) from error


def _no_spool(name: str, error: OSError) -> OutputError:
    """Return the error for a temporary disk that does not take the copy."""
    return OutputError(
        f"no room for a temporary copy ({(error.strerror or 'failed').lower()}): {name}",
        f"point TMPDIR at a larger disk than that of {tempfile.gettempdir()}",
    )
