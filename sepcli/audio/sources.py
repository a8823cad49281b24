"""Opening what the user named: a regular file, or a stream that is spooled to a temporary one."""

import os
import stat
import struct
import sys
import tempfile
from pathlib import Path
from typing import IO, BinaryIO

from sepcli.audio.names import printable
from sepcli.errors import AudioError, OutputError

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
        raise _not_opened(path, error) from error
    except ValueError as error:  # an embedded NUL
        raise AudioError(f"not a file name: {name}") from error
    if stat.S_ISREG(mode):
        return
    kind = next((word for test, word in KINDS if test(mode)), "not a file")
    hint = "name a recording; a stream goes in on standard input: … | sepcli separate -"
    raise AudioError(f"{kind}, not a recording: {name}", hint)


def _not_opened(path: Path, error: OSError) -> AudioError:
    """Return the error for a path that cannot be reached or opened."""
    name = printable(path)
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return AudioError(
                f"link leads nowhere: {name}", "restore what it points at, or name the file itself"
            )
        return AudioError(f"no such file: {name}", "check the spelling, or list the folder with ls")
    if isinstance(error, PermissionError):
        return AudioError(f"not allowed to read: {name}", "check its permissions with ls -l")
    if path.is_symlink() and not isinstance(error, NotADirectoryError):
        return AudioError(f"link leads in a circle: {name}", "name the file itself")
    return AudioError(f"{(error.strerror or 'cannot be opened').lower()}: {name}")


def open_source(source: Source) -> IO[bytes]:
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
        try:
            # O_NONBLOCK: should the file have become a pipe since, opening it must not wait
            flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
            return os.fdopen(os.open(source, flags), "rb", buffering=0)
        except OSError as error:
            raise _not_opened(source, error) from error
    stream = sys.stdin.buffer if isinstance(source, str) else source
    return _spool(stream, source_name(source))


def _spool(stream: BinaryIO, name: str) -> IO[bytes]:
    """Return a nameless temporary file with everything that `stream` still holds."""
    try:
        spool = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (the caller closes it)
    except OSError as error:
        raise OutputError(
            f"no temporary file: {error.strerror}", "point TMPDIR at a folder that takes files"
        ) from error
    try:
        num_bytes = 0
        while piece := stream.read(COPY_BYTES):
            view = memoryview(piece)
            while view:
                view = view[spool.write(view) :]
            num_bytes += len(piece)
        if num_bytes == 0:
            raise AudioError(f"nothing to read: {name} is empty")
        repair_streamed_wav(spool)
        spool.seek(0)
    except OSError as error:
        spool.close()
        raise OutputError(
            f"{name} does not fit on the temporary disk: {error.strerror}",
            f"point TMPDIR at a larger disk than {tempfile.gettempdir()}",
        ) from error
    except BaseException:
        spool.close()
        raise
    return spool


def repair_streamed_wav(file: IO[bytes]) -> bool:
    """Return whether the data length of a WAV written to a pipe was filled in, in place.

    A program that writes to a pipe cannot go back to fill in the lengths: they stay 0 or
    0xFFFFFFFF, and the sound goes on to the end of the stream. libsndfile takes 0 at its word.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return False
    position = 12
    while position + 8 <= size:
        file.seek(position)
        chunk, length = struct.unpack("<4sI", file.read(8))
        if chunk == b"data":
            rest = size - position - 8
            if length not in (0, 0xFFFFFFFF) or rest == 0:
                return False
            file.seek(position + 4)
            file.write(struct.pack("<I", min(rest, 0xFFFFFFFE)))
            return True
        position += 8 + length + length % 2
    return False
