"""Reading: every format, exact values, and the hostile recordings of which people have many."""

import io
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sepcli.audio import reader as reading
from sepcli.audio.reader import (
    AudioReader,
    read_info,
)
from sepcli.errors import AudioError

RATE = 16_000
FORMATS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "IMA_ADPCM"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("CAF", "PCM_16"),
    ("CAF", "ALAC_16"),
    ("AU", "ULAW"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]
LOSSLESS = {"PCM_16", "PCM_24", "FLOAT", "ALAC_16"}


def tone(num_samples: int = 12_000, num_channels: int = 1) -> np.ndarray:
    time = np.arange(num_samples)[:, None] / RATE
    signal = 0.5 * np.sin(2 * np.pi * 440 * time + np.arange(num_channels))
    return (np.round(signal * 32768) / 32768).astype(np.float32)  # exact in 16 bits


def write(path: Path, signal: np.ndarray, format: str = "WAV", subtype: str | None = None) -> Path:
    # format spelt out: the name is not to matter
    soundfile.write(path, signal, RATE, format=format, subtype=subtype)
    return path


def read(
    source, block_samples: int = 65_536, start: int | None = None, stop: int | None = None
) -> tuple[np.ndarray, AudioReader]:
    with AudioReader(source) as reader:
        if (start, stop) != (None, None):
            reader.select((start or 0) / RATE, stop and stop / RATE)
        nothing = np.zeros((0, reader.info.num_channels), np.float32)
        return np.concatenate([nothing, *reader.blocks(block_samples)]), reader


@pytest.mark.parametrize(("format", "subtype"), FORMATS)
@pytest.mark.parametrize("num_channels", [1, 2])
def test_every_format(tmp_path, format, subtype, num_channels):
    signal = tone(num_channels=num_channels)
    path = write(tmp_path / "no-ending", signal, format, subtype)
    samples, reader = read(path, block_samples=5000)
    info = reader.info
    assert info == read_info(path)
    assert (info.sample_rate, info.num_channels) == (RATE, num_channels)
    assert (info.format, info.subtype) == (format, subtype)
    assert samples.dtype == np.float32
    assert len(samples) == info.num_samples == reader.num_read
    assert reader.warnings == ()
    if subtype in LOSSLESS:
        assert np.array_equal(samples, signal)
    else:
        assert len(signal) <= len(samples) <= len(signal) + 5000  # some end on a whole packet
        middle = slice(1000, 11_000)
        assert np.abs(samples[middle] - signal[middle]).max() < 0.1


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3000), st.integers(0, 2500), st.integers(1, 2500))
def test_any_block_size_and_part(block_samples, start, length):
    signal = tone(2000, 2)
    file = io.BytesIO()
    soundfile.write(file, signal, RATE, format="WAV", subtype="PCM_16")
    file.seek(0)
    stop = start + length
    if start >= 2000:
        with pytest.raises(AudioError, match="ends before"):
            read(file, start=start, stop=stop)
        return
    samples, reader = read(file, block_samples, start=start, stop=stop)
    assert np.array_equal(samples, signal[start:stop])
    assert reader.num_expected == len(samples)
    assert reader.num_missing == 0


@pytest.mark.parametrize(
    ("format", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", None), ("WAV", None)]
)
def test_a_part_is_the_same_samples_as_in_the_whole(tmp_path, format, subtype):
    generator = np.random.default_rng(5)
    path = write(tmp_path / "x", generator.uniform(-0.5, 0.5, (30_000, 1)), format, subtype)
    whole, _ = read(path)
    for start, stop in [(0, 10), (1, 4097), (12_345, 20_000), (29_990, None)]:
        part, reader = read(path, start=start, stop=stop)
        assert np.array_equal(part, whole[start:stop])
        assert reader.warnings == ()


def test_blocks_are_as_long_as_asked_except_the_last(tmp_path):
    path = write(tmp_path / "x.wav", tone(10_000))
    with AudioReader(path) as reader:
        assert [len(block) for block in reader.blocks(4000)] == [4000, 4000, 2000]
    with AudioReader(path) as reader:
        reader.select(500 / RATE, None)
        assert reader.info.num_samples == 10_000
        assert [len(block) for block in reader.blocks(9000)] == [9000, 500]


def test_the_file_is_closed(tmp_path, open_files):
    path = write(tmp_path / "x.wav", tone(10))
    before = open_files()
    with AudioReader(path) as reader:
        assert len(list(reader.blocks())) == 1
    assert open_files() == before
    read_info(path)
    assert open_files() == before


def test_reading_after_close_is_refused(tmp_path):
    reader = AudioReader(write(tmp_path / "x.wav", tone(10)))
    reader.close()
    reader.close()
    with pytest.raises(soundfile.SoundFileRuntimeError, match="closed"):
        next(reader.blocks())


@pytest.mark.parametrize(("stop", "short"), [(2.0, None), (2.05, None), (3.5, "1.5"), (None, None)])
def test_what_ends_before_the_part_that_is_wanted_is_told(
    tmp_path: Path, stop: float | None, short: str | None
) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(16000, 0.1), 8000)
    with AudioReader(tmp_path / "a.wav") as reader:
        reader.select(0.5, stop)
        assert sum(len(block) for block in reader.blocks()) == 12000
        message = f"recording ends {short} s before the end that was asked for: "
        assert [each.startswith(message) for each in reader.warnings] == [True] * bool(short)


def test_selecting_seconds(tmp_path):
    path = write(tmp_path / "x.wav", tone(RATE))
    for start, stop, expected in [
        (None, None, RATE),
        (0.25, None, 12_000),
        (None, 0.25, 4000),
        (0.5, 0.75, 4000),
        (0.5, 7.0, 8000),
    ]:
        with AudioReader(path) as reader:
            reader.select(start, stop)
            assert reader.num_expected == expected
            assert sum(map(len, reader.blocks())) == expected
    with AudioReader(path) as reader, pytest.raises(AudioError) as caught:
        reader.select(1.0, None)
    assert caught.value.message == f"recording ends before 1 s: {path}"
    assert caught.value.hint == "begin earlier"
    with AudioReader(path) as reader, pytest.raises(AudioError) as caught:
        reader.select(0.3, 0.30001)
    assert caught.value.message == f"no sample from 0.3 to 0.30001 s: {path}"
    with AudioReader(path) as reader, pytest.raises(AudioError) as caught:
        reader.select(1_234_567.25, None)
    assert caught.value.message == f"recording ends before 1234567.25 s: {path}"


def test_flac_does_not_begin_at_its_own_end(tmp_path):
    """Its header may tell too little, so that this shows only there."""
    path = write(tmp_path / "x.flac", tone(RATE), "FLAC")
    for stop in (None, 2.0):
        with AudioReader(path) as reader:
            reader.select(1.0, stop)
            with pytest.raises(AudioError, match="ends before the start that was asked") as caught:
                list(reader.blocks())
            assert caught.value.hint == "it holds 1.000 seconds"


# The hostile list.


@pytest.mark.parametrize("format", ["WAV", "FLAC", "AIFF", "CAF", "W64", "OGG", "MP3"])
@pytest.mark.parametrize("num_samples", [0, 1])
def test_zero_samples_and_one(tmp_path, format, num_samples):
    path = write(tmp_path / "x", tone(2)[1 : 1 + num_samples], format)
    if num_samples == 0 and format in {"FLAC", "MP3"}:
        assert path.stat().st_size == 0  # libsndfile writes nothing at all
        with pytest.raises(AudioError, match="empty file"):
            read(path)
        return
    samples, reader = read(path)
    assert len(samples) == num_samples
    assert reader.warnings == ()


def test_flac_of_zero_samples(tmp_path):
    fields = (RATE << 44) | (0 << 41) | (15 << 36)  # rate, channels - 1, bits - 1, 0 samples
    stream_info = struct.pack(">HH6xQ16x", 4096, 4096, fields)
    path = tmp_path / "x.flac"
    path.write_bytes(b"fLaC" + struct.pack(">I", 0x80000000 | len(stream_info)) + stream_info)
    samples, reader = read(path)
    assert len(samples) == 0
    assert (reader.info.sample_rate, reader.info.num_samples) == (RATE, None)


@pytest.mark.parametrize("rate", [1, 7, 8000, 44_100, 192_000, 384_000, 768_000])
def test_rates_up_to_768_khz(tmp_path, rate):
    path = tmp_path / "x.wav"
    soundfile.write(path, tone(20), rate)
    assert read_info(path).sample_rate == rate


@pytest.mark.parametrize("rate", [768_001, 2**31 - 1])
def test_rates_beyond_are_refused(tmp_path, rate):
    path = tmp_path / "x.wav"
    soundfile.write(path, tone(20), rate)
    with pytest.raises(AudioError, match=f"sample rate outside 1 Hz to 768000 Hz .*: {rate}") as e:
        read_info(path)
    assert "export" in e.value.hint


@pytest.mark.parametrize("rate", [0, 2**31, 2**32 - 1])
def test_rates_that_are_none_are_refused(tmp_path, rate):
    path = write(tmp_path / "x.wav", tone(20))
    data = bytearray(path.read_bytes())
    data[24:28] = struct.pack("<I", rate)
    path.write_bytes(data)
    with pytest.raises(AudioError):
        read_info(path)


@pytest.mark.parametrize("num_channels", [1, 3, 8, 64, 1024])
def test_many_channels(tmp_path, num_channels):
    signal = tone(300, num_channels)
    samples, reader = read(write(tmp_path / "x.wav", signal))
    assert reader.info.num_channels == num_channels
    assert np.array_equal(samples, signal)


def test_many_channels_come_in_shorter_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_BLOCK_VALUES", 1000)
    path = write(tmp_path / "x.wav", tone(300, 8))
    with AudioReader(path) as reader:
        assert {len(block) for block in reader.blocks()} == {125, 50}
    monkeypatch.setattr(reading, "MAX_BLOCK_VALUES", 3)
    with AudioReader(path) as reader:
        assert {len(block) for block in reader.blocks()} == {1}


def test_values_that_are_not_finite_become_zero(tmp_path):
    signal = tone(1000)
    signal[[3, 500], 0] = np.nan
    signal[7], signal[999] = np.inf, -np.inf
    samples, reader = read(write(tmp_path / "x.wav", signal, "WAV", "FLOAT"), 100)
    expected = np.where(np.isfinite(signal), signal, 0)
    assert np.array_equal(samples, expected)
    (warning,) = reader.warnings
    assert warning.startswith("4 values were not finite and became 0: ")


def test_huge_values_are_limited(tmp_path):
    signal = np.array([[1e30], [-1e30], [2.0**31], [3.0**19], [-(2.0**32)], [1]], np.float32)
    samples, reader = read(write(tmp_path / "x.wav", signal, "WAV", "FLOAT"))
    bound = 2.0**31
    assert samples[:, 0].tolist() == [bound, -bound, bound, float(signal[3, 0]), -bound, 1]
    (warning,) = reader.warnings
    assert warning.startswith("3 values were beyond")
    # the bound's promise: an hour at 48 kHz of the largest values has a finite energy
    assert np.isfinite(np.float32(bound) ** 2 * np.float32(3600 * 48_000))


@pytest.mark.parametrize(
    "value", [0.0, 1e-40, 1.0, -1.0, 0.25], ids=["silence", "denormal", "top", "bottom", "DC"]
)
def test_constant_signals_are_kept(tmp_path, value):
    signal = np.full((1000, 1), value, np.float32)
    samples, reader = read(write(tmp_path / "x.wav", signal, "WAV", "FLOAT"))
    assert np.array_equal(samples, signal)
    assert reader.warnings == ()


@pytest.mark.parametrize("format", ["WAV", "AIFF"])
def test_truncated_file_is_read_as_far_as_it_goes(tmp_path, format):
    signal = tone(12_000, 2)
    path = write(tmp_path / "x", signal, format)
    path.write_bytes(path.read_bytes()[:-4001])
    samples, reader = read(path)
    assert np.array_equal(samples, signal[:10_999])  # 4001 bytes are 1000 samples and one byte
    assert reader.num_missing == 1001
    (warning,) = reader.warnings
    assert warning == f"1001 samples could not be read: {path}"
    part, reader = read(path, stop=100)
    assert len(part) == 100
    assert reader.warnings == ()


def test_truncated_adpcm_counts_what_is_missing(tmp_path):
    path = write(tmp_path / "x", tone(60_000), "WAV", "IMA_ADPCM")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    samples, reader = read(path)
    assert 25_000 < len(samples) < 31_000
    assert abs(len(samples) + reader.num_missing - 60_000) < 2000  # whole packets


# Some builds of libsndfile refuse a CAF file that is cut, and ffmpeg takes it.
CAF = pytest.param("CAF", marks=pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg"))


@pytest.mark.parametrize("format", ["FLAC", "OGG", "MP3", CAF, "W64"])
def test_truncated_files_of_other_formats(tmp_path, format):
    generator = np.random.default_rng(3)
    path = tmp_path / "x"
    with soundfile.SoundFile(path, "w", RATE, 1, format=format) as sound:
        for _ in range(10):
            sound.write(generator.uniform(-0.5, 0.5, 10_000))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    samples, _ = read(path)
    assert 30_000 < len(samples) < 60_000


def test_header_that_promises_more_than_there_is(tmp_path):
    path = write(tmp_path / "x.wav", tone(100))
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", 1_000_000_000)
    path.write_bytes(data)
    samples, reader = read(path)
    assert len(samples) == reader.info.num_samples == 100
    assert reader.num_missing == 500_000_000 - 100


@pytest.mark.parametrize("format", ["WAV", "AIFF", "FLAC"])
def test_header_only_is_an_error(tmp_path, format):
    path = write(tmp_path / "x", tone(5000), format)
    size = {"WAV": 44, "AIFF": 54, "FLAC": 86}[format]
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(AudioError, match="no sample can be read") as caught:
        read(path)
    assert caught.value.hint


def test_damaged_flac_keeps_the_rest_in_its_place(tmp_path):
    generator = np.random.default_rng(1)
    signal = np.round(generator.uniform(-0.5, 0.5, (100_000, 1)) * 32768) / 32768
    path = write(tmp_path / "x", signal, "FLAC")
    data = bytearray(path.read_bytes())
    for place in (len(data) // 3, len(data) // 2):
        data[place : place + 20] = bytes(20)
    path.write_bytes(data)
    samples, reader = read(path, 10_000)
    assert len(samples) == 100_000
    wrong = np.nonzero((samples != signal).any(axis=1))[0]
    assert 0 < len(wrong) <= reader.num_missing <= 2 * 2 * 4096
    assert np.array_equal(samples[60_000:], signal[60_000:])
    (warning,) = reader.warnings
    assert warning.startswith(f"{reader.num_missing} samples could not be read (")


def test_empty_file(tmp_path):
    path = tmp_path / "x.wav"
    path.touch()
    with pytest.raises(AudioError) as caught:
        read_info(path)
    assert (caught.value.message, caught.value.hint) == (
        f"empty file: {path}",
        "record or copy it again",
    )
