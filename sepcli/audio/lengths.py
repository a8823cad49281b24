"""Where the values of a WAV, W64, AIFF, CAF or AU file lie, and where they really end.

The length in a header is what the program that wrote it knew: nothing yet (0, or near the largest
number) where it wrote to a pipe or died, too little where it was updated now and then, the rest
of a division by 2³² where more than 4 GB came. What lies behind that length is taken for sound
unless it is known to be something else: chunks that lead to the end of the file, a tag, zeros of a
file that was made larger beforehand.
"""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

UNKNOWN_LENGTH = 0x7FFFF000  # at least this much: a program that did not know (sox: 2**31 - 1)
MAX_CHUNKS = 1000
PIECE_BYTES = 1 << 20
TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN", b"<?xml", b"_PMX")
FOURCC = re.compile(rb"[A-Za-z][A-Za-z0-9 _]{3}")


@dataclass(frozen=True)
class Sound:
    """Where the values of a recording lie in its file, in bytes.

    Attributes:
        start: Of the first value.
        declared: How many there are by the header; None where it does not know.
        stop: Where they really end.
        size: Of the file.
        format_chunk: The `fmt ` chunk of a WAV, header included; else empty.
    """

    start: int
    declared: int | None
    stop: int
    size: int
    format_chunk: bytes = b""

    @property
    def num_absent(self) -> int:
        """Bytes that the header promises beyond the end of a file that was cut off."""
        return max(0, self.start + (self.declared or 0) - self.size)


@dataclass(frozen=True)
class _Container:
    """How chunks follow each other in one kind of file."""

    header: struct.Struct  # name and length
    data: bytes  # the chunk that holds the values
    first: int = 12  # where the first chunk is
    before: int = 0  # bytes in the data chunk before the first value
    align: int = 2
    own: int = 0  # bytes of the header that its length counts


_RIFF = _Container(struct.Struct("<4sI"), b"data")
_CONTAINERS = {
    (b"RIFF", b"WAVE"): _RIFF,
    (b"RF64", b"WAVE"): _RIFF,
    (b"BW64", b"WAVE"): _RIFF,
    (b"RIFX", b"WAVE"): _Container(struct.Struct(">4sI"), b"data"),
    (b"FORM", b"AIFF"): _Container(struct.Struct(">4sI"), b"SSND", before=8),
    (b"FORM", b"AIFC"): _Container(struct.Struct(">4sI"), b"SSND", before=8),
}
_CAF = _Container(struct.Struct(">4sQ"), b"data", first=8, before=4, align=1)
_W64 = _Container(struct.Struct("<4s12xQ"), b"data", first=40, align=8, own=24)


def find_sound(file: IO[bytes]) -> Sound | None:
    """Return where the values lie; None for other files, and where there are none.

    The position in the file afterwards is undefined.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(24)
    if head[:4] in (b".snd", b"dns."):
        return _find_in_au(file, head, size)
    container = _container(head)
    if container is None:
        return None
    format_chunk, long_length = b"", None
    for name, offset, length in _chunks(file, container, container.first, size):
        if name == b"ds64":
            long_length = struct.unpack("<8xQ", _read(file, offset, 16).ljust(16, b"\0"))[0]
        elif name == b"fmt " and container is _RIFF:
            format_chunk = _read(file, offset - 8, 8 + min(length, 1024))
        elif name == container.data:
            if length == 0xFFFFFFFF and long_length is not None:
                length = long_length
            start = min(offset + container.before, size)
            declared = _known(length - container.before, size - start)
            stop = _real_stop(file, container, start, declared, size)
            return Sound(start, declared, stop, size, format_chunk)
    return None


def _container(head: bytes) -> _Container | None:
    if head[:4] == b"caff":
        return _CAF
    return _W64 if head[:4] == b"riff" else _CONTAINERS.get((head[:4], head[8:12]))


def _find_in_au(file: IO[bytes], head: bytes, size: int) -> Sound | None:
    if len(head) < 24:
        return None
    order = ">" if head[:4] == b".snd" else "<"
    start, length = struct.unpack_from(f"{order}2I", head, 4)
    start = min(start, size)
    declared = _known(length, size - start)
    return Sound(start, declared, _real_stop(file, None, start, declared, size), size)


def _known(length: int, present: int) -> int | None:
    """Return a length, or None where it stands for one that was not known."""
    is_known = 0 < length <= present or 0 < length < UNKNOWN_LENGTH
    return length if is_known else None


def _real_stop(
    file: IO[bytes], container: _Container | None, start: int, declared: int | None, size: int
) -> int:
    """Return where the values end."""
    stop = start + (declared or 0)
    if stop >= size:
        return size
    if container is not None:
        wraps = container.header.size == 8  # lengths of 32 bits
        for each in range(stop, size + 1, 1 << 32) if wraps else (stop,):
            if _chunks_lead_to_end(file, container, each, size):
                return each
    return size if _holds_sound(file, stop, size) else stop


def _chunks(
    file: IO[bytes], container: _Container, position: int, size: int
) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, offset and length of each chunk."""
    for _ in range(MAX_CHUNKS):
        header = _read(file, position, container.header.size)
        if len(header) < container.header.size:
            return
        name, length = container.header.unpack(header)
        length = max(0, length - container.own)
        position += container.header.size
        yield name, position, length
        position += length + -length % container.align
        if position >= size:
            return


def _chunks_lead_to_end(file: IO[bytes], container: _Container, stop: int, size: int) -> bool:
    """Return whether chunks follow at `stop` and the last of them ends where the file does.

    Some programs forget the byte that fills up to an even length, between chunks or at the end.
    """
    for first in {stop, stop + -stop % container.align}:
        if 0 <= size - first < 2:
            return True
        end = first
        for name, offset, length in _chunks(file, container, first, size):
            if not FOURCC.fullmatch(name):
                break
            end = offset + length
        if abs(size - end) < 2 or size - end == -end % container.align:
            return True
    return False


def _holds_sound(file: IO[bytes], position: int, size: int) -> bool:
    """Return whether what lies at `position` can be sound: no tag, no chunk, not all zeros."""
    for head in (_read(file, position, 16), _read(file, position + position % 2, 16)):
        lengths = (int.from_bytes(head[4:8], "little"), int.from_bytes(head[4:8], "big"))
        if head.startswith(TAGS):
            return False
        if FOURCC.match(head) and any(0 < length <= size - position for length in lengths):
            return False
    while position < size:
        piece = _read(file, position, PIECE_BYTES)
        if not piece or piece.strip(b"\0"):
            return bool(piece)
        position += len(piece)
    return False


def _read(file: IO[bytes], position: int, num_bytes: int) -> bytes:
    file.seek(position)
    return file.read(num_bytes)


def wav_head(format_chunk: bytes) -> bytes:
    """Return what comes before the values of a WAV that goes on to the end of the file."""
    return b"RIFF\xff\xff\xff\xffWAVE" + format_chunk + b"data\xff\xff\xff\xff"
