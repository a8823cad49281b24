"""WAV and AIFF headers: lengths that are not true, which libsndfile passes over in silence.

A program that writes a WAV to a pipe cannot go back to fill in the lengths: they stay 0 or near
the largest number, and the sound goes on to the end. libsndfile takes 0 at its word, and never
reads beyond 4 GB of it. Such a stream gets an RF64 header, which has 64-bit lengths.
"""

import os
import struct
from collections.abc import Iterator
from typing import IO

HEAD_BYTES = 1 << 16
UNKNOWN_LENGTH = 0x7FFFF000  # at least this much: a program that did not know (sox: 2**31 - 1)
MAX_CHUNKS = 1000
DS64 = struct.Struct("<4sI4s4sI3QI")  # RF64, size, WAVE, ds64, its size, 3 lengths, table


def unknown_length_wav(head: bytes) -> tuple[bytes, int] | None:
    """Return the `fmt ` chunk and the offset of the sound of a WAV whose length was not known.

    Args:
        head: The beginning of the file.

    Returns:
        None when it is no such WAV.
    """
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    position, format_chunk = 12, b""
    while position + 8 <= len(head):
        chunk, length = struct.unpack_from("<4sI", head, position)
        if chunk == b"data":
            known = 0 < length < UNKNOWN_LENGTH
            return None if known or not format_chunk else (format_chunk, position + 8)
        end = position + 8 + length + length % 2
        if chunk == b"fmt ":
            format_chunk = head[position:end]
        position = end
    return None


def was_cut_short(head: bytes, size: int) -> bool:
    """Return whether a WAV of `size` bytes on disk holds sound that its lengths do not cover.

    A recorder that died leaves lengths of 0. A WAV that is really empty has a true RIFF length.
    """
    found = unknown_length_wav(head)
    if found is None:
        return False
    offset = found[1]
    riff_length: int = struct.unpack_from("<I", head, 4)[0]
    data_length: int = struct.unpack_from("<I", head, offset - 4)[0]
    if data_length:
        return size - offset > data_length
    return size > offset and riff_length + 8 != size


def rf64_header(format_chunk: bytes, num_bytes: int) -> bytes:
    """Return a WAV header with 64-bit lengths for `num_bytes` of sound to come after it."""
    data_header = struct.pack("<4sI", b"data", 0xFFFFFFFF)
    riff_length = DS64.size - 8 + len(format_chunk) + len(data_header) + num_bytes
    ds64 = DS64.pack(b"RF64", 0xFFFFFFFF, b"WAVE", b"ds64", 28, riff_length, num_bytes, 0, 0)
    return ds64 + format_chunk + data_header


def sound_bytes(file: IO[bytes]) -> tuple[int, int]:
    """Return how many bytes of sound a WAV or AIFF holds, and how many its header promises.

    Both are 0 where nothing can be said: for other formats, for lengths that were not known when
    they were written. The position in the file afterwards is undefined.
    """
    size = file.seek(0, os.SEEK_END)
    for chunk, offset, length in _chunks(file, size):
        if chunk in (b"data", b"SSND"):
            extra = 8 if chunk == b"SSND" else 0  # offset and block size come first
            present, promised = size - offset - extra, length - extra
            return (0, 0) if length >= UNKNOWN_LENGTH else (min(present, promised), promised)
    return 0, 0


def _chunks(file: IO[bytes], size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, offset and length of each chunk of a WAV or AIFF; nothing for other formats."""
    file.seek(0)
    head = file.read(12)
    is_wav = head[:4] == b"RIFF" and head[8:] == b"WAVE"
    is_aiff = head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC")
    if not (is_wav or is_aiff):
        return
    header = struct.Struct("<4sI" if is_wav else ">4sI")
    position = 12
    for _ in range(MAX_CHUNKS):
        file.seek(position)
        data = file.read(header.size)
        if len(data) < header.size:
            return
        chunk, length = header.unpack(data)
        yield chunk, position + 8, length
        position += 8 + length + length % 2
        if position >= size:
            return
