import struct
import zlib
from io import BytesIO

import matplotlib.image
import numpy as np
import pytest

from sepcli.page.png import SHADES, png


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (64, 200), (5, 7)])
def test_another_decoder_sees_the_shades(shape: tuple[int, int]) -> None:
    shades = np.random.default_rng(0).integers(0, SHADES, shape).astype(np.uint8)
    data = png(shades, (10, 200, 30))
    pixels = matplotlib.image.imread(BytesIO(data))  # red, green, blue, alpha from 0 to 1
    assert pixels.shape == (*shape, 4)
    assert np.allclose(pixels[..., 3], np.rint(17.0 * shades) / 255)
    seen = pixels[shades > 0][:, :3]
    assert np.allclose(seen, np.array([10, 200, 30]) / 255)


def test_chunks_have_their_checksums() -> None:
    data = png(np.zeros((2, 2), np.uint8), (0, 0, 0))
    place, kinds = 8, []
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        body = data[place + 4 : place + 8 + length]
        assert struct.unpack_from(">I", data, place + 8 + length)[0] == zlib.crc32(body)
        kinds.append(body[:4])
        place += 12 + length
    assert kinds == [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"]
