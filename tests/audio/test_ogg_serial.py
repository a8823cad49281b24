import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.audio import AudioReader, AudioWriter
from sepcli.audio.ogg import PAGE, checksum, find_pages
from sepcli.audio.ogg_serial import SERIAL, settle_serial

RATE = 16000


def ogg(samples: np.ndarray, subtype: str) -> io.BytesIO:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="OGG", subtype=subtype)
    return file


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_the_same_sound_is_the_same_file_and_whole(subtype: str) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE)
    files = [ogg(noise, subtype), ogg(noise, subtype), ogg(noise[:-1], subtype)]
    serials = []
    for number, file in enumerate(files):
        drawn = bytearray(file.getvalue())
        for page in find_pages(file, len(drawn)):  # as a clock that went on would
            drawn[page.start + SERIAL] ^= number
            drawn[page.start + 22 : page.start + 26] = bytes(4)
            check = checksum(drawn[page.start : page.stop])
            drawn[page.start + 22 : page.start + 26] = check.to_bytes(4, "little")
        file = io.BytesIO(drawn)
        settle_serial(file)
        data = file.getvalue()
        for page in find_pages(file, len(data)):
            part = bytearray(data[page.start : page.stop])
            check, part[22:26] = int.from_bytes(part[22:26], "little"), bytes(4)
            assert checksum(part) == check
        serials.append({PAGE.unpack_from(data, p.start)[4] for p in find_pages(file, len(data))})
        files[number] = file
    assert files[0].getvalue() == files[1].getvalue()
    assert [len(each) for each in serials] == [1, 1, 1]
    assert serials[0] != serials[2]  # so that files may be joined
    files[0].seek(0)
    assert soundfile.read(files[0])[0].shape == noise.shape


def test_outputs_are_the_same_whenever_they_are_written(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    for name in "abc":
        with AudioWriter(tmp_path / f"{name}.ogg", RATE) as writer:
            writer.write(noise)
            writer.commit()
    written = [(tmp_path / f"{name}.ogg").read_bytes() for name in "abc"]
    assert all(one == other for one, other in pairwise(written))
    with AudioReader(tmp_path / "a.ogg") as reader:
        assert sum(map(len, reader.blocks())) == RATE
        assert reader.warnings == ()
