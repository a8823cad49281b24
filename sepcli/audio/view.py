"""A recording as a decoder is to see it: own bytes in place of some, and parts of a file."""

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import IO

Piece = bytes | tuple[int, int]  # bytes of our own, or start and stop of a part of the file


class View(io.RawIOBase):
    """Pieces of a file and bytes of our own as one file to read; nothing is copied to a disk.

    Args:
        file: Where the parts are; its position changes with every read.
        pieces: What comes one after the other.
    """

    def __init__(self, file: IO[bytes], pieces: Sequence[Piece]) -> None:
        self._file = file
        self._pieces = tuple(pieces)
        lengths = (len(p) if isinstance(p, bytes) else p[1] - p[0] for p in pieces)
        self._stops = tuple(accumulate(lengths))
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position [bytes]."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Return the new position [bytes]."""
        size = self._stops[-1] if self._stops else 0
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer`; return how many bytes came, fewer than asked only at the end."""
        filled = 0
        while filled < len(buffer) and (piece := self._next(len(buffer) - filled)):
            buffer[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled

    def _next(self, num_bytes: int) -> bytes:
        """Return some of the bytes at the position, and go past them; none at the end."""
        index = bisect_right(self._stops, self._position)
        if index == len(self._pieces):
            return b""
        inside = self._position - (self._stops[index - 1] if index else 0)
        piece = self._pieces[index]
        if isinstance(piece, bytes):
            data = piece[inside : inside + num_bytes]
        else:
            self._file.seek(piece[0] + inside)
            data = self._file.read(min(num_bytes, piece[1] - piece[0] - inside))
        self._position += len(data)
        return data
