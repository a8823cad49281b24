import os

import pytest

from sepcli.audio import library_noise
from sepcli.audio.library_noise import without_mpg123


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"", ""),
        (b"[src/libmpg123/layer3.c:INT123_do_layer3():1774] error: part2_3_length too large\n", ""),
        (b"\nNote: Illegal Audio-MPEG-Header 0x00 at offset 7.\nNote: Trying to resync...\n", ""),
        (b"Warning: Xing stream size off by more than 1%\nerror: ours\nhint: too\n",
         "error: ours\nhint: too\n"),
        (b"warning: \xc3\xa4 name", "warning: ä name"),
    ],
)  # fmt: skip
def test_only_lines_of_libmpg123_are_kept_back(capfd, said, heard):
    with without_mpg123():
        os.write(2, said)
    assert capfd.readouterr().err == heard


def test_a_flood_blocks_nobody(capfd):
    with without_mpg123():
        try:
            for _ in range(10_000):
                os.write(2, b"x" * 99 + b"\n")
        except BlockingIOError:
            pass
    assert len(capfd.readouterr().err) >= 4096
    os.write(2, b"and after")
    assert capfd.readouterr().err == "and after"


def test_a_process_without_stderr_reads_on(monkeypatch):
    def refuse(number: int) -> int:
        raise OSError("bad file descriptor")

    monkeypatch.setattr(library_noise.os, "dup", refuse)
    with without_mpg123():
        pass


def test_nothing_stays_open(open_files):
    before = open_files()
    with pytest.raises(KeyError), without_mpg123():
        raise KeyError
    assert open_files() == before
