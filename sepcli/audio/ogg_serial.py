"""The serial number of an Ogg stream: made of what it holds, so the same sound is the same file.

libsndfile draws it by the clock. All pages have it, and a checksum that it is part of. That is a
polynomial over GF(2), the page, modulo another one: changing some bits adds to it what these bits
and zeros behind them would have, and zeros multiply by a power of x.
"""

import struct
import zlib
from functools import lru_cache

from sepcli.audio.ogg import POLYNOMIAL, File, checksum, find_pages

SERIAL = 14  # where it is in a page [bytes]
_FIELDS = struct.Struct("<III")  # serial, number, checksum


def settle_serial(file: File) -> None:
    """Give all pages of a file that holds one stream the serial number that their sound has."""
    size = file.seek(0, 2)
    pages = [(page.start, page.stop - page.start) for page in find_pages(file, size)]
    neutral = b"".join(struct.pack("<I", _fields(file, *page, serial=0)[2]) for page in pages)
    serial = zlib.crc32(neutral)
    for start, length in pages:
        fields = _fields(file, start, length, serial=serial)
        file.seek(start + SERIAL)
        file.write(_FIELDS.pack(*fields))


def _fields(file: File, start: int, length: int, serial: int) -> tuple[int, int, int]:
    """Return serial, number and checksum of a page as they are with another serial."""
    file.seek(start + SERIAL)
    before, number, check = _FIELDS.unpack(file.read(_FIELDS.size))
    changed = checksum(struct.pack("<I", before ^ serial))
    return serial, number, check ^ _product(changed, _zeros(length - SERIAL - 4))


def _product(one: int, other: int) -> int:
    """Return the product of two polynomials of 32 bits, modulo that of checksums."""
    product = 0
    for bit in range(31, -1, -1):
        product = _times_x(product) ^ (one if other >> bit & 1 else 0)
    return product


def _times_x(value: int) -> int:
    return (value << 1 ^ (POLYNOMIAL if value >> 31 else 0)) & 0xFFFFFFFF


@lru_cache(maxsize=1024)
def _zeros(num_bytes: int) -> int:
    """Return what a checksum is multiplied by where so many bytes of zero follow."""
    power = 1
    for bit in f"{8 * num_bytes:b}":
        power = _product(power, power)
        if bit == "1":
            power = _times_x(power)
    return power
