"""The pages of an Ogg file: recordings that were joined, and ends that are not true.

RFC 3533. A page says how far the sound goes that it completes (its granule position); the last
page's is the length. Files may be joined as they are: each begins with pages that say so.
libsndfile reads the first of them only.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from sepcli.audio.view import Piece
from sepcli.files import PendingFile

PAGE = struct.Struct("<4sBBqIIIB")  # OggS, version, flags, granule, serial, number, CRC, segments
FIRST_PAGE = 2  # flag
SEARCH_BYTES = 1 << 16
LARGEST_GRANULE = (1 << 63) - 1
UNKNOWN_GRANULE = -1  # no sound is completed by this page
POLYNOMIAL = 0x04C11DB7

File = IO[bytes] | PendingFile


@dataclass(frozen=True)
class Page:
    """A page: where it is [bytes], its flags, and its granule position."""

    start: int
    stop: int
    flags: int
    granule: int


@dataclass
class Link:
    """One recording of those that were joined.

    Attributes:
        start: First byte.
        stop: Byte after the last.
        last: The last page with a granule position.
        latest: The largest granule position before that page.
    """

    start: int
    stop: int
    last: Page | None = None
    latest: int = 0

    @property
    def ends_early(self) -> bool:
        """Whether the length it gives is less than what comes before its last page."""
        return self.last is not None and self.last.granule < self.latest

    def pieces(self, file: IO[bytes]) -> list[Piece]:
        """Return its parts, with an end beyond its sound where its own cannot be true."""
        if not self.ends_early or self.last is None:
            return [(self.start, self.stop)]
        page = self.last
        file.seek(page.start)
        data = bytearray(file.read(page.stop - page.start))
        end = min(self.latest + SEARCH_BYTES * data[26], LARGEST_GRANULE)
        struct.pack_into("<q", data, 6, end)
        struct.pack_into("<I", data, 22, 0)
        struct.pack_into("<I", data, 22, checksum(data))
        return [(self.start, page.start), bytes(data), (page.stop, self.stop)]


def find_links(file: IO[bytes], size: int) -> tuple[list[Link], int]:
    """Return the recordings in an Ogg file, and how many bytes are in no whole page."""
    links: list[Link] = []
    was_first = False
    num_lost = size
    for page in find_pages(file, size):
        num_lost -= page.stop - page.start
        is_first = bool(page.flags & FIRST_PAGE)
        if not links or (is_first and not was_first):
            links.append(Link(page.start, page.stop))
        was_first = is_first
        link = links[-1]
        link.stop = page.stop
        if page.granule != UNKNOWN_GRANULE:
            if link.last is not None:
                link.latest = max(link.latest, link.last.granule)
            link.last = page
    return links, num_lost


def find_pages(file: File, size: int) -> Iterator[Page]:
    """Yield every whole page; damage in between is passed over."""
    position = 0
    while position + PAGE.size <= size:
        file.seek(position)
        head = file.read(PAGE.size + 255)
        if head[:4] != b"OggS" or len(head) < PAGE.size:
            position = _next_page(file, position + 1, size)
            continue
        _, _, flags, granule, _, _, _, num_segments = PAGE.unpack_from(head)
        table = head[PAGE.size : PAGE.size + num_segments]
        stop = position + PAGE.size + num_segments + sum(table)
        if len(table) < num_segments or stop > size:
            position = _next_page(file, position + 1, size)
            continue
        yield Page(position, stop, flags, granule)
        position = stop


def _next_page(file: File, position: int, size: int) -> int:
    """Return where the next page begins; `size` where there is none."""
    while position < size:
        file.seek(position)
        piece = file.read(SEARCH_BYTES)
        if (found := piece.find(b"OggS")) >= 0:
            return position + found
        if len(piece) < 4:
            break
        position += len(piece) - 3
    return size


def checksum(page: bytes | bytearray) -> int:
    """Return the checksum of a page whose own is zero: CRC-32, neither reflected nor inverted."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (POLYNOMIAL if crc & 1 << 31 else 0)) & 0xFFFFFFFF
    return crc
