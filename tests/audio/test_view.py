import io
import os

import pytest

from sepcli.audio.view import View

DATA = bytes(range(100))
PIECES = [b"abc", (10, 20), b"", (90, 100), b"z"]
SEEN = b"abc" + DATA[10:20] + DATA[90:] + b"z"


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_pieces_are_one_file(step):
    view = View(io.BytesIO(DATA), PIECES)
    assert b"".join(iter(lambda: view.read(step), b"")) == SEEN


@pytest.mark.parametrize("place", range(len(SEEN) + 2))
def test_any_place_can_be_gone_to(place):
    view = View(io.BytesIO(DATA), PIECES)
    assert view.seek(place) == view.tell() == place
    assert view.read(5) == SEEN[place : place + 5]
    assert view.seek(-4, os.SEEK_END) == len(SEEN) - 4
    assert view.seek(1, os.SEEK_CUR) == len(SEEN) - 3
    assert view.read(100) == SEEN[-3:]


def test_a_file_that_shrinks_meanwhile_ends_there():
    assert View(io.BytesIO(DATA[:15]), PIECES).read(100) == b"abc" + DATA[10:15]


def test_nothing_is_an_empty_file():
    view = View(io.BytesIO(DATA), [])
    assert view.readable() and view.seekable()
    assert view.seek(0, os.SEEK_END) == 0
    assert view.read(1) == b""
