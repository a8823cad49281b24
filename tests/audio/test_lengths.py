import io
import struct

import numpy as np
import pytest
import soundfile

from sepcli.audio.lengths import find_sound, wav_head

SOUND = np.arange(-500, 500, dtype=np.int16)
NUM_BYTES = 2000
# where the length of the values is written, and how
LENGTHS = {
    "WAV": (40, "<I"),
    "RF64": (28, "<Q"),
    "W64": (-8, "<Q"),
    "AIFF": (-12, ">I"),
    "CAF": (-12, ">Q"),
    "AU": (8, ">I"),
}


def encoded(format: str = "WAV", subtype: str = "PCM_16") -> bytearray:
    file = io.BytesIO()
    soundfile.write(file, SOUND, 8000, format=format, subtype=subtype)
    return bytearray(file.getvalue())


def with_length(format: str, length: int) -> bytearray:
    """A file of 1000 samples of which the header says something else."""
    data = encoded(format)
    place, code = LENGTHS[format]
    if place < 0:  # before the first value
        place += data.index(SOUND.astype("<i2" if format == "W64" else ">i2").tobytes())
    extra = {"AIFF": 8, "CAF": 4, "W64": 24}.get(format, 0)
    known = 0 < length < 0x7FFFF000
    struct.pack_into(code, data, place, length + extra if known else length)
    return data


@pytest.mark.parametrize("format", LENGTHS)
@pytest.mark.parametrize("length", [400, 0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_values_end_where_the_file_does_whatever_the_header_says(format, length):
    data = with_length(format, length)
    sound = find_sound(io.BytesIO(data))
    assert len(data) - sound.start in (NUM_BYTES, NUM_BYTES + 24)  # RF64 of libsndfile has a PEAK
    assert sound.stop == len(data)
    assert sound.declared == (400 if length == 400 else None)
    assert sound.num_absent == 0


@pytest.mark.parametrize("format", LENGTHS)
@pytest.mark.parametrize("cut", [0, 1, 500, 2000])
def test_a_file_that_was_cut(format, cut):
    data = encoded(format)
    sound = find_sound(io.BytesIO(data[: len(data) - cut]))
    assert (sound.stop - sound.start, sound.num_absent) == (NUM_BYTES - cut, cut)


def chunk(name: bytes, num_bytes: int, pad: int = 0) -> bytes:
    return name + struct.pack("<I", num_bytes) + b"x" * num_bytes + bytes(pad)


@pytest.mark.parametrize(
    "after",
    [
        b"",
        b"\0",
        chunk(b"LIST", 10),
        chunk(b"LIST", 5, pad=1) + chunk(b"id3 ", 7),  # the last one is not filled up
        chunk(b"bext", 602) + chunk(b"iXML", 3, pad=1),
        chunk(b"LIST", 10) + b"what is this",
        b"TAG" + bytes(125),
        b"ID3\4" + bytes(50) + b"x",
        bytes(3000),  # the file was made larger beforehand
    ],
)
@pytest.mark.parametrize("num_bytes", [NUM_BYTES, NUM_BYTES - 1])
def test_what_follows_an_intact_recording_is_no_sound(after, num_bytes):
    data = encoded("WAV", "PCM_U8" if num_bytes % 2 else "PCM_16")[:44]
    struct.pack_into("<I", data, 40, num_bytes)
    sound = SOUND.tobytes()[:num_bytes]
    for pad in (b"", b"\0") if num_bytes % 2 else (b"",):
        found = find_sound(io.BytesIO(data + sound + pad + after))
        assert (found.start, found.stop) == (44, 44 + num_bytes)


class Large(io.BytesIO):
    """A file of zeros but for its beginning and its end, as far as reading goes."""

    def __init__(self, head: bytes, size: int, tail: bytes) -> None:
        self.head, self.size, self.tail, self.position = head, size, tail, 0

    def seek(self, offset, whence=0):
        self.position = (0, self.position, self.size)[whence] + offset
        return self.position

    def read(self, num_bytes=-1):
        start, stop = self.position, min(self.position + num_bytes, self.size)
        self.position = max(start, stop)
        if start < len(self.head):
            return self.head[start:stop].ljust(stop - start, b"\1")
        where = start - (self.size - len(self.tail))
        return self.tail[where : where + stop - start] if where >= 0 else b"\1" * (stop - start)


@pytest.mark.parametrize("tail", [b"", chunk(b"LIST", 10)])
@pytest.mark.parametrize("times", [1, 2])
def test_a_length_beyond_4_gb_that_wrapped(tail, times):
    head = bytes(with_length("WAV", NUM_BYTES)[:44])
    stop = 44 + NUM_BYTES + (times << 32)
    sound = find_sound(Large(head, stop + len(tail), tail))
    assert (sound.start, sound.stop) == (44, stop)


def test_chunks_of_any_size_before_the_sound_are_passed_over():
    wav = with_length("WAV", 0)
    sound = find_sound(io.BytesIO(wav[:36] + chunk(b"JUNK", 70_000) + wav[36:]))
    assert (sound.start, sound.declared) == (36 + 8 + 70_000 + 8, None)
    assert sound.stop - sound.start == NUM_BYTES
    assert sound.format_chunk == wav[12:36]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b".snd\0\0\0\x18",
        bytes(encoded("FLAC")),
        bytes(encoded()[:30]),
        b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 2000,  # more chunks than anybody writes
        b"FORM\0\0\0\0WAVE" + bytes(encoded()[12:]),
        b"RIFF\0\0\0\0AIFF" + bytes(encoded()[12:]),
    ],
)
def test_where_nothing_can_be_said(data):
    assert find_sound(io.BytesIO(data)) is None


@pytest.mark.parametrize("num_bytes", [0, 2, 2000])
def test_a_wav_head_reads_back(num_bytes):
    wav = encoded()
    file = io.BytesIO(wav_head(bytes(wav[12:36])) + wav[44 : 44 + num_bytes])
    with soundfile.SoundFile(file) as sound:
        assert (sound.format, sound.subtype, sound.samplerate) == ("WAV", "PCM_16", 8000)
        assert np.array_equal(sound.read(dtype="int16"), SOUND[: num_bytes // 2])
