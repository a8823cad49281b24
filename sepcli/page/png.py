"""Shades of one colour → PNG file, transparent where there is nothing: for light pages and dark."""

import struct
import zlib
from typing import Any

import numpy as np

SHADES = 16  # two pixels a byte
SIGNATURE = b"\x89PNG\r\n\x1a\n"
BITS, INDEXED = 4, 3


def png(shades: np.ndarray[Any, np.dtype[np.uint8]], colour: tuple[int, int, int]) -> bytes:
    """Return a picture.

    Source: PNG specification, third edition, colour type 3 with tRNS.

    Args:
        shades: `[rows, columns]` from 0, transparent, to `SHADES` - 1; the first row is on top.
        colour: Red, green, blue.
    """
    height, width = shades.shape
    even = np.pad(shades, ((0, 0), (0, width % 2)))
    packed = (even[:, ::2] << 4) | even[:, 1::2]
    lines = np.pad(packed, ((0, 0), (1, 0)))  # before each line: no filter
    alphas = bytes(round(255 * shade / (SHADES - 1)) for shade in range(SHADES))
    header = struct.pack(">2I5B", width, height, BITS, INDEXED, 0, 0, 0)
    return SIGNATURE + b"".join(
        (
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", bytes(colour) * SHADES),
            _chunk(b"tRNS", alphas),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
