import io
import struct

import numpy as np
import pytest
import soundfile

from sepcli.audio.wav_header import (
    rf64_header,
    sound_bytes,
    unknown_length_wav,
    was_cut_short,
)

SOUND = np.arange(-500, 500, dtype=np.int16)


def encoded(format: str = "WAV", subtype: str = "PCM_16") -> bytearray:
    file = io.BytesIO()
    soundfile.write(file, SOUND, 8000, format=format, subtype=subtype)
    return bytearray(file.getvalue())


def with_lengths(riff: int, data: int) -> bytes:
    wav = encoded()
    wav[4:8] = struct.pack("<I", riff)
    offset = wav.find(b"data") + 4
    wav[offset : offset + 4] = struct.pack("<I", data)
    return bytes(wav)


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_unknown_length_is_recognised(length):
    format_chunk, offset = unknown_length_wav(with_lengths(length, length))
    assert format_chunk == encoded()[12:36]
    assert offset == 44


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"RIFF",
        b"RIFF\0\0\0\0AVI " + bytes(100),
        b"RIFX" + with_lengths(0, 0)[4:],
        bytes(encoded()),
        with_lengths(0, 2000),
        with_lengths(0, 0x7FFFEFFF),
        with_lengths(0, 0)[:40],  # no data chunk
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0" + bytes(100),  # no fmt chunk
        bytes(encoded("AIFF")),
    ],
)
def test_known_lengths_and_other_files_are_not(head):
    assert unknown_length_wav(head) is None
    assert not was_cut_short(head, len(head))


def test_chunks_before_the_sound_are_passed_over():
    wav = with_lengths(0, 0)
    odd = b"LIST" + struct.pack("<I", 5) + b"INFO!" + b"\0"
    format_chunk, offset = unknown_length_wav(wav[:36] + odd + wav[36:])
    assert (format_chunk, offset) == (wav[12:36], 58)


@pytest.mark.parametrize(
    ("riff", "data", "size", "expected"),
    [
        (0, 0, 2044, True),  # a recorder that died
        (36, 0, 44, False),  # really empty
        (36, 0, 2044, True),  # the lengths of the beginning were never updated
        (2036, 0, 2044, False),  # empty by its own account, with something after it
        (0, 0, 44, False),  # died before the first sample
        (0xFFFFFFFF, 0xFFFFFFFF, 2044, False),  # libsndfile takes the file's length
        (0xFFFFFFFF, 0xFFFFFFFF, (1 << 32) + 44, True),  # but not beyond 4 GB
        (0xFFFFFFFF, 0xFFFFFFFF, (1 << 32) + 43, False),
    ],
)
def test_what_libsndfile_would_cut_short(riff, data, size, expected):
    assert was_cut_short(with_lengths(riff, data), size) is expected


@pytest.mark.parametrize("num_bytes", [0, 2, 2000])
def test_rf64_header_reads_back(num_bytes):
    wav = encoded()
    file = io.BytesIO(rf64_header(bytes(wav[12:36]), num_bytes) + wav[44 : 44 + num_bytes])
    with soundfile.SoundFile(file) as sound:
        assert (sound.format, sound.subtype, sound.samplerate) == ("RF64", "PCM_16", 8000)
        assert np.array_equal(sound.read(dtype="int16"), SOUND[: num_bytes // 2])


def test_rf64_header_holds_lengths_of_64_bits():
    header = rf64_header(bytes(24), 5 << 32)
    assert header[:4] == b"RF64"
    assert struct.unpack_from("<QQ", header, 20) == (len(header) - 8 + (5 << 32), 5 << 32)
    assert header[36:48] == bytes(12)  # number of samples and table: not given
    assert header[-8:] == b"data\xff\xff\xff\xff"


def test_the_sound_may_begin_where_the_head_ends():
    assert unknown_length_wav(with_lengths(0, 0)[:44]) == (encoded()[12:36], 44)


def test_sound_bytes_of_aifc():
    data = encoded("AIFF", "FLOAT")
    assert data[8:12] == b"AIFC"
    assert sound_bytes(io.BytesIO(data)) == (4000, 4000)


@pytest.mark.parametrize("format", ["WAV", "AIFF"])
@pytest.mark.parametrize("cut", [0, 1, 500, 2000])
def test_sound_bytes_of_a_file_that_was_cut(format, cut):
    data = encoded(format)
    file = io.BytesIO(data[: len(data) - cut])
    assert sound_bytes(file) == (2000 - cut, 2000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        bytes(encoded("FLAC")),
        with_lengths(0xFFFFFFFF, 0xFFFFFFFF),
        bytes(encoded()[:30]),
        b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 2000,  # more chunks than anybody writes
        b"FORM\0\0\0\0WAVE" + bytes(encoded()[12:]),
        b"FORM\0\0\0\0WAVE" + bytes(encoded("AIFF")[12:]),
        b"RIFF\0\0\0\0AIFF" + bytes(encoded()[12:]),
    ],
)
def test_sound_bytes_where_nothing_can_be_said(data):
    assert sound_bytes(io.BytesIO(data)) == (0, 0)


def test_something_after_the_sound_does_not_count_as_sound():
    assert sound_bytes(io.BytesIO(encoded() + bytes(100))) == (2000, 2000)
