"""Lengths in headers that are not true: every sample that is in the file is read."""

import io
import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile

from sepcli.audio import mpeg, ogg
from sepcli.audio.reader import AudioReader
from sepcli.errors import AudioError

RATE = 16_000
UNREADABLE = "a part of it cannot be read and was passed over"
SIGNAL = np.round(np.random.default_rng(4).uniform(-0.4, 0.4, (20_000, 1)) * 32768) / 32768


def encoded(format: str, subtype: str | None = None, signal=SIGNAL, rate=RATE, **how) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, signal, rate, format=format, subtype=subtype, **how)
    return file.getvalue()


def read(path, data: bytes) -> tuple[np.ndarray, AudioReader]:
    path = path / "x"
    path.write_bytes(data)
    with AudioReader(path) as reader:
        return np.concatenate([np.zeros((0, 1), np.float32), *reader.blocks(3000)]), reader


def wav_with(length: int, subtype: str = "PCM_16", endian: str = "FILE") -> bytes:
    data = bytearray(encoded("WAV", subtype, endian=endian))
    struct.pack_into(">I" if endian == "BIG" else "<I", data, data.index(b"data") + 4, length)
    return bytes(data)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ALAW"])
@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
def test_a_wav_whose_length_is_stale(tmp_path, subtype, endian):
    whole, _ = read(tmp_path, encoded("WAV", subtype))
    samples, reader = read(tmp_path, wav_with(8000, subtype, endian))
    assert np.array_equal(samples, whole)
    assert reader.info.num_samples == len(SIGNAL)
    width = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "FLOAT": 4, "DOUBLE": 8, "ALAW": 1}[subtype]
    more = (len(SIGNAL) - 8000 / width) / RATE
    assert reader.warnings == (
        f"it goes on for {more:.2f} s beyond the length in its header: {tmp_path / 'x'}",
    )


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610"])
@pytest.mark.parametrize("length", [0, 2048])
def test_a_coded_wav_whose_length_is_stale(tmp_path, subtype, length):
    whole, _ = read(tmp_path, encoded("WAV", subtype))
    length -= length % struct.unpack_from("<H", encoded("WAV", subtype), 32)[0]
    samples, reader = read(tmp_path, wav_with(length, subtype))
    assert len(samples) >= len(SIGNAL)
    assert np.array_equal(samples[: len(whole)], whole[: len(samples)])
    assert len(reader.warnings) == (length > 0)


def test_a_part_beyond_a_stale_length(tmp_path):
    (tmp_path / "x").write_bytes(wav_with(8000))
    with AudioReader(tmp_path / "x") as reader:
        reader.select(12_345 / RATE, 15_000 / RATE)
        assert np.array_equal(np.concatenate(list(reader.blocks())), SIGNAL[12_345:15_000])


def test_junk_of_70_kb_before_a_length_that_was_not_known(tmp_path):
    data = wav_with(0)
    junk = b"JUNK" + struct.pack("<I", 70_000) + bytes(70_000)
    samples, reader = read(tmp_path, data[:36] + junk + data[36:])
    assert np.array_equal(samples, SIGNAL)
    assert reader.warnings == ()


@pytest.mark.parametrize("format", ["RF64", "W64", "AIFF", "AU", "CAF"])
@pytest.mark.parametrize("length", [0, 4000])
def test_other_containers(tmp_path, format, length):
    data = bytearray(encoded(format, "PCM_16"))
    little = format in ("RF64", "W64")
    start = data.index(np.ascontiguousarray((SIGNAL * 32768).astype("<i2" if little else ">i2")))
    place, code, extra = {
        "RF64": (28, "<Q", 0),
        "W64": (start - 8, "<Q", 24),
        "AIFF": (start - 12, ">I", 8),
        "AU": (8, ">I", 0),
        "CAF": (start - 12, ">Q", 4),
    }[format]
    struct.pack_into(code, data, place, length + extra)
    samples, reader = read(tmp_path, bytes(data))
    assert np.array_equal(samples, SIGNAL)
    assert len(reader.warnings) == (length > 0)


@pytest.mark.parametrize("total", [1, 4096, 12_345])
def test_flac_that_holds_more_than_its_header_says(tmp_path, total):
    data = bytearray(encoded("FLAC"))
    data[21:26] = bytes([data[21] & 0xF0]) + total.to_bytes(4, "big")
    samples, reader = read(tmp_path, bytes(data))
    assert np.array_equal(samples, SIGNAL)
    assert reader.warnings == (f"it goes on beyond the length in its header: {tmp_path / 'x'}",)


def test_a_part_of_flac_beyond_the_length_in_its_header(tmp_path):
    data = bytearray(encoded("FLAC"))
    data[22:26] = (4096).to_bytes(4, "big")
    (tmp_path / "x").write_bytes(data)
    with AudioReader(tmp_path / "x") as reader:
        reader.select(0.5, 1.0)
        assert np.array_equal(np.concatenate(list(reader.blocks())), SIGNAL[8000:16_000])
    with AudioReader(tmp_path / "x") as reader, pytest.raises(AudioError, match="ends before"):
        reader.select(2.0, None)
        list(reader.blocks())


def test_other_formats_say_what_was_not_read(tmp_path):
    data = bytearray(encoded("MAT4", "PCM_16", np.tile(SIGNAL, (3, 1))))
    assert read(tmp_path, bytes(data))[1].warnings == ()
    struct.pack_into("<I", data, data.index(struct.pack("<I", 60_000)), 20_000)
    samples, reader = read(tmp_path, bytes(data))
    assert len(samples) == 20_000
    assert reader.warnings == (
        f"80068 bytes are beyond the length in its header, not read: {tmp_path / 'x'}",
    )


# MP3: a frame of 576 samples at this rate; libsndfile's encoder writes a frame of numbers first.


def frames_of(data: bytes) -> list[mpeg.Stream]:
    return mpeg.scan(io.BytesIO(data), len(data))[0]


def without_numbers(data: bytes) -> bytes:
    (stream,) = frames_of(data)
    return data[stream.stretches[0][0] :]


def loud_then_silent() -> np.ndarray:
    signal = np.zeros((80_000, 1))
    signal[:20_000] = SIGNAL
    return signal


def test_mp3_without_a_number_of_frames(tmp_path):
    """Of variable bitrate: libsndfile guesses the length from the first frames."""
    data = encoded("MP3", signal=loud_then_silent())
    (stream,) = frames_of(data)
    bare = without_numbers(data)
    assert soundfile.info(io.BytesIO(bare)).frames < 0.7 * 80_000  # what it guesses
    samples, reader = read(tmp_path, bare)
    assert abs(len(samples) - 576 * stream.num_frames) <= 576  # the decoder's own delay
    assert reader.num_missing == 0
    assert reader.warnings == ()


@pytest.mark.parametrize("declared", [0, 3, 10_000])
def test_mp3_with_a_wrong_number_of_frames(tmp_path, declared):
    data = bytearray(encoded("MP3"))
    whole, reader = read(tmp_path, bytes(data))
    assert (len(whole), reader.warnings) == (len(SIGNAL), ())
    (stream,) = frames_of(bytes(data))
    struct.pack_into(">I", data, max(data.find(b"Xing"), data.find(b"Info")) + 8, declared)
    samples, reader = read(tmp_path, bytes(data))
    assert np.array_equal(samples, whole)
    assert reader.num_missing == 576 * max(0, declared - stream.num_frames)


@pytest.mark.parametrize("tag", [b"", b"ID3\4\0\0\0\0\1\0" + b"x" * 128])
def test_mp3s_that_were_joined(tmp_path, tag):
    data = encoded("MP3")
    whole, _ = read(tmp_path, data)
    samples, reader = read(tmp_path, (tag + data) * 3)
    assert np.array_equal(samples, np.concatenate([whole] * 3))
    assert reader.warnings == ()


def test_mp3_with_damage_in_the_middle(tmp_path, capfd):
    data = encoded("MP3")
    half = len(data) // 2
    samples, reader = read(tmp_path, data[:half] + b"garbage" * 1000 + data[half:])
    assert len(samples) >= len(SIGNAL) - 2 * 576
    assert "bytes are not MPEG audio and were passed over" in reader.warnings[-1]
    assert capfd.readouterr().err == ""  # libmpg123's own lines


def test_an_mp3_with_wrong_bits_is_not_louder_than_sound_can_be(tmp_path):
    data = bytearray(encoded("MP3"))
    for place in np.random.default_rng(8).integers(1000, len(data), 60):
        data[place] ^= 0xFF
    samples, reader = read(tmp_path, bytes(data))
    assert np.abs(samples).max() == 4.0
    assert f"values were beyond ±4 and limited: {tmp_path / 'x'}" in reader.warnings[-1]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_files_that_were_joined(tmp_path, subtype):
    data = encoded("OGG", subtype)
    whole, _ = read(tmp_path, data)
    samples, reader = read(tmp_path, data * 3)
    assert np.array_equal(samples, np.concatenate([whole] * 3))
    assert reader.warnings == ()


def test_joined_recordings_of_another_rate_are_told(tmp_path):
    other = encoded("OGG", "VORBIS", rate=8000)
    samples, reader = read(tmp_path, encoded("OGG", "VORBIS") + other)
    assert len(samples) == len(SIGNAL)
    assert reader.warnings == (
        f"what follows has 8000 Hz and 1 channels, and was not read: {tmp_path / 'x'}",
    )


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("end", [0, 5000])
def test_ogg_whose_end_is_before_its_middle(tmp_path, subtype, end):
    data = bytearray(encoded("OGG", subtype, np.tile(SIGNAL, (4, 1))))
    whole, _ = read(tmp_path, bytes(data))
    ((link,), _) = ogg.find_links(io.BytesIO(data), len(data))
    page = link.last
    struct.pack_into("<q", data, page.start + 6, end)
    struct.pack_into("<I", data, page.start + 22, 0)
    struct.pack_into("<I", data, page.start + 22, ogg.checksum(data[page.start : page.stop]))
    samples, _ = read(tmp_path, bytes(data))
    assert np.array_equal(samples[: len(whole)], whole)


def test_ogg_with_damage_in_the_middle_is_told(tmp_path):
    data = encoded("OGG", "VORBIS", np.tile(SIGNAL, (4, 1)))
    half = len(data) // 2
    _, reader = read(tmp_path, data[:half] + b"garbage" * 1000 + data[half:])
    assert "bytes are no pages of Ogg and were passed over" in reader.warnings[0]


@pytest.mark.parametrize("format", ["WAV", "AU"])
def test_no_sample_of_a_file_that_has_bytes_is_an_error(tmp_path, format):
    data = encoded(format, "PCM_16", SIGNAL[:0]).ljust(8192, b"\0")
    with pytest.raises(AudioError, match="no sample can be read"):
        read(tmp_path, data)


@pytest.mark.parametrize("num_samples", [1, 4095, 20_000])
def test_intact_files_are_told_nothing(tmp_path, num_samples):
    for format, names in {
        "WAV": ["PCM_U8", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610"],
        "AIFF": ["PCM_S8", "PCM_16", "DOUBLE", "ALAW", "IMA_ADPCM", "GSM610"],
        "OGG": ["VORBIS", "OPUS"],
        **{key: [None] for key in ("W64", "RF64", "AU", "CAF", "FLAC", "NIST", "VOC", "MP3")},
    }.items():
        for subtype in names:
            signal = SIGNAL[:num_samples]
            samples, reader = read(tmp_path, encoded(format, subtype, signal))
            assert reader.warnings == (), (format, subtype)
            assert len(samples) >= num_samples, (format, subtype)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
@pytest.mark.parametrize(
    "ending", ["wav", "rf64.wav", "w64", "aiff", "au", "caf", "flac", "oga", "opus", "ogg", "mp3"]
)
def test_what_ffmpeg_writes_to_a_pipe_is_read_whole(tmp_path, ending):
    """It cannot go back to fill in the lengths."""
    soundfile.write(tmp_path / "in.wav", SIGNAL, RATE)
    codec = ["-c:a", "libvorbis"] if ending == "ogg" else []
    how = ["-f", "wav", "-rf64", "always"] if ending == "rf64.wav" else ["-f", ending]
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "in.wav", *codec, *how, "pipe:1"]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        pytest.skip("ffmpeg writes this to files only")
    samples, reader = read(tmp_path, done.stdout)
    assert reader.warnings == ()
    assert len(SIGNAL) <= len(samples) <= len(SIGNAL) + 2304 * 2
    if ending not in ("opus", "ogg", "mp3"):
        assert np.array_equal(samples, SIGNAL)


def first_page(data: bytes) -> bytes:
    return data[: data.index(b"OggS", 4)]


@pytest.mark.parametrize("joined", ["cut", "damaged"])
def test_a_part_that_cannot_be_opened_is_passed_over(tmp_path, joined):
    """A stream that was cut off as a new title began, or whose header is damaged."""
    data = encoded("OGG", "VORBIS")
    whole, _ = read(tmp_path, data)
    bad = bytearray(first_page(data) if joined == "cut" else data)
    if joined == "damaged":
        bad[bad.index(b"vorbis")] ^= 1
        bad[22:26] = bytes(4)
        bad[22:26] = struct.pack("<I", ogg.checksum(bad[: len(first_page(data))]))
    later = data if joined == "damaged" else b""  # would be taken for another track of the title
    samples, reader = read(tmp_path, data + bytes(bad) + later)
    assert np.array_equal(samples, np.tile(whole, (2 if later else 1, 1)))
    assert reader.warnings == (f"{UNREADABLE}: {tmp_path / 'x'}",)


def test_an_mp3_that_ends_in_numbers_and_one_frame_is_read(tmp_path):
    data = encoded("MP3")
    (stream,) = frames_of(data)
    start, _ = stream.stretches[0]
    whole, _ = read(tmp_path, data)
    short = data[: start + stream.frame.length]
    for before in (b"", data):
        samples, reader = read(tmp_path, before + short + data)
        assert np.array_equal(samples[: len(whole)], whole)
        assert np.array_equal(samples[-len(whole) :], whole)
        assert f"{UNREADABLE}: {tmp_path / 'x'}" in reader.warnings


@pytest.mark.parametrize("flags", [mpeg.INFO_FRAMES, mpeg.INFO_FRAMES | mpeg.INFO_BYTES])
def test_a_frame_of_numbers_that_is_too_short_for_them_is_made_anew(flags):
    header = 0xFFF3_14C4  # layer 3, mono, 8 kbit/s at 24 kHz: 24 bytes
    frame = mpeg.parse_header(header)
    tag = 4 + frame.side_bytes
    info = bytes(tag) + b"Xing" + struct.pack(">I", flags)
    info = info.ljust(frame.length, b"\0")[: frame.length]
    stream = mpeg.Stream(header, frame, info, 7, 3, [(100, 172)])
    made = stream.pieces()[0]
    assert struct.unpack_from(">I", made, made.index(b"Xing") + 8) == (3,)


def test_ogg_whose_middle_says_it_is_the_end_of_time(tmp_path):
    data = bytearray(encoded("OGG", "VORBIS", np.tile(SIGNAL, (4, 1))))
    whole, _ = read(tmp_path, bytes(data))
    ((link,), _) = ogg.find_links(io.BytesIO(data), len(data))
    *_, page, last = ogg.find_pages(io.BytesIO(data), len(data))
    assert last == link.last
    struct.pack_into("<q", data, page.start + 6, (1 << 63) - 1)
    struct.pack_into("<I", data, page.start + 22, 0)
    struct.pack_into("<I", data, page.start + 22, ogg.checksum(data[page.start : page.stop]))
    samples, _ = read(tmp_path, bytes(data))
    assert len(samples) >= 0.5 * len(whole)
