import errno
import os
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sepcli.audio import sndfile, wav
from sepcli.audio.reader import AudioReader
from sepcli.audio.writer import AudioWriter, quantized
from sepcli.errors import OutputError, UsageError
from sepcli.files import pending

RATE = 16_000
STEP16, STEP24 = 2.0**-15, 2.0**-23


def noise(num_samples=5000, num_channels=1):
    generator = np.random.default_rng(num_samples)
    return generator.uniform(-0.9, 0.9, (num_samples, num_channels)).astype(np.float32)


def written(path, signal, **options):
    with AudioWriter(path, RATE, signal.shape[-1] if signal.ndim == 2 else 1, **options) as writer:
        writer.write(signal)
        writer.commit()
    return writer


# Exact PCM: what goes in, what integer is stored.
PCM16 = [
    (0.0, 0),
    (-0.0, 0),
    (1.0, 32767),
    (-1.0, -32768),
    (2.0, 32767),
    (-2.0, -32768),
    (1e30, 32767),
    (-1e30, -32768),
    (32767 * STEP16, 32767),
    (32767.4 * STEP16, 32767),
    (32767.5 * STEP16, 32767),  # would be 32768, which does not exist
    (-32767.5 * STEP16, -32768),
    (-32768.5 * STEP16, -32768),
    (STEP16, 1),
    (0.5 * STEP16, 0),  # halves go to the even neighbour
    (1.5 * STEP16, 2),
    (2.5 * STEP16, 2),
    (-0.5 * STEP16, 0),
    (-1.5 * STEP16, -2),
    (0.51 * STEP16, 1),
    (-0.51 * STEP16, -1),
    (1e-40, 0),
]
PCM24 = [
    (0.0, 0),
    (1.0, 8_388_607),
    (-1.0, -8_388_608),
    (1.5, 8_388_607),
    (-1.5, -8_388_608),
    (STEP24, 1),
    (-STEP24, -1),
    (0.5 * STEP24, 0),
    (1.5 * STEP24, 2),
    (0.5, 4_194_304),
    (8_388_607 * STEP24, 8_388_607),
]


@pytest.mark.parametrize("format", ["wav", "flac"])
@pytest.mark.parametrize(("subtype", "table"), [("PCM_16", PCM16), ("PCM_24", PCM24)])
def test_pcm_values_are_exact(tmp_path, format, subtype, table):
    values = np.array([x for x, _ in table], np.float32)
    path = tmp_path / f"x.{format}"
    with AudioWriter(path, RATE, subtype=subtype) as writer:
        writer.write(values)
        writer.commit()
    stored, _ = soundfile.read(path, dtype="int32")
    shift = 16 if subtype == "PCM_16" else 8
    assert (stored >> shift).tolist() == [n for _, n in table]
    assert soundfile.info(path).subtype == subtype
    assert writer.num_clipped == sum(abs(x) > 1 for x, _ in table)


@settings(max_examples=50)
@given(arrays(np.float32, 20, elements=st.floats(-4, 4, width=32)), st.sampled_from([16, 24]))
def test_quantized_is_the_nearest_integer_in_range(block, bits):
    scale = 2 ** (bits - 1)
    exact = block.astype(np.longdouble) * scale
    got = quantized(block, bits)
    assert (got == np.rint(got)).all()
    assert got.min() >= -scale
    assert got.max() <= scale - 1
    inside = (exact > -scale) & (exact < scale - 1)
    assert np.abs(got - exact)[inside].max(initial=0) <= 0.5
    assert (got[exact >= scale - 1] == scale - 1).all()
    assert (got[exact <= -scale] == -scale).all()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_reading_and_writing_again_changes_no_bit(tmp_path, subtype):
    first, second = tmp_path / "a.wav", tmp_path / "b.wav"
    soundfile.write(first, noise(3000, 2), RATE, subtype)
    with AudioReader(first) as reader, AudioWriter(second, RATE, 2, subtype=subtype) as writer:
        for block in reader.blocks(700):
            writer.write(block)
        writer.commit()
    one, two = (soundfile.read(path, dtype="int32")[0] for path in (first, second))
    assert np.array_equal(one, two)
    assert writer.num_clipped == 0


def test_float_is_not_limited(tmp_path):
    signal = np.array([3.5, -1e30, 1e-40, 0.1], np.float32)
    writer = written(tmp_path / "x.wav", signal, subtype="FLOAT")
    assert np.array_equal(soundfile.read(tmp_path / "x.wav", dtype="float32")[0], signal)
    assert writer.num_clipped == 0


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("num_samples", [1, 1000, 70_001])
def test_every_format_keeps_length_and_place(tmp_path, format, num_channels, num_samples):
    time = np.arange(num_samples)[:, None] / RATE
    signal = (0.5 * np.sin(2 * np.pi * 440 * time + np.arange(num_channels))).astype(np.float32)
    path = tmp_path / "x"  # the format is what is asked for, not the name's ending
    with AudioWriter(path, RATE, num_channels, format) as writer:
        for start in range(0, num_samples, 30_000):
            writer.write(signal[start : start + 30_000])
        writer.commit()
    assert writer.num_written == num_samples
    with AudioReader(path) as reader:
        got = np.concatenate(list(reader.blocks()))
    assert reader.info.format == format.upper()
    assert got.shape == signal.shape
    if num_samples > 1:
        assert np.abs(got - signal)[100:-300].max() < {"ogg": 0.2, "mp3": 0.2}.get(format, 1e-4)


def test_lossy_formats_are_limited_and_counted(tmp_path):
    writer = written(tmp_path / "x.ogg", np.full(2000, 3.0, np.float32))
    assert writer.num_clipped == 2000


@pytest.mark.parametrize("format", ["wav", "ogg"])
def test_zero_samples(tmp_path, format):
    path = tmp_path / f"x.{format}"
    written(path, noise(0))
    with AudioReader(path) as reader:
        assert sum(map(len, reader.blocks())) == 0
        assert reader.info.sample_rate == RATE


@pytest.mark.parametrize("format", ["flac", "mp3"])
def test_zero_samples_where_that_is_no_file(tmp_path, format):
    with pytest.raises(OutputError, match=f"^{format} cannot hold a recording without samples: "):
        written(tmp_path / f"x.{format}", noise(0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    signal = noise(100)
    signal[50] = value
    with pytest.raises(OutputError, match="not a number") as caught:
        written(tmp_path / "x.wav", signal, subtype="FLOAT")
    assert "--precision" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_options_are_checked_before_anything_is_made(tmp_path):
    for options in ({"format": "aiff"}, {"format": "mp3", "subtype": "FLOAT"}):
        with pytest.raises(UsageError):
            AudioWriter(tmp_path / "x.wav", RATE, **options)
    with pytest.raises(UsageError):
        AudioWriter(tmp_path / "x.mp3", 44_101)
    with pytest.raises(UsageError):
        AudioWriter(tmp_path / "x.xyz", RATE)
    assert list(tmp_path.iterdir()) == []


def test_wrong_use_is_refused(tmp_path):
    with AudioWriter(tmp_path / "x.wav", RATE, 2) as writer:
        with pytest.raises(ValueError, match="1 channels instead of 2"):
            writer.write(noise(10)[:, 0])
        writer.write(noise(10, 2))
        writer.commit()
        with pytest.raises(ValueError, match="after commit"):
            writer.write(noise(10, 2))
        with pytest.raises(ValueError, match="published"):
            writer.commit()


def test_leaving_without_commit_leaves_nothing(tmp_path):
    with AudioWriter(tmp_path / "x.wav", RATE) as writer:
        writer.write(noise())
    with pytest.raises(KeyboardInterrupt), AudioWriter(tmp_path / "x.wav", RATE) as writer:
        writer.write(noise())
        raise KeyboardInterrupt
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_overwriting_has_to_be_asked_for(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="already there"):
        written(path, noise(10))
    assert path.read_bytes() == b"old"
    written(path, noise(10), overwrite=True)
    assert soundfile.info(path).frames == 10
    assert list(tmp_path.iterdir()) == [path]


# A disk that fails, at every place where it can.


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("room", [0, 1, 60, 2000, 8000])
def test_full_disk(tmp_path, monkeypatch, format, room):
    """The disk takes `room` bytes: fails in the header, in the middle, or in the last page."""
    write = os.write
    left = room

    def write_until_full(descriptor, data):
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = write(descriptor, data[:left])
        left -= taken
        return taken

    path = tmp_path / f"x.{format}"
    signal = noise(40_000)
    with monkeypatch.context() as patch:
        patch.setattr(pending.os, "write", write_until_full)
        with pytest.raises(OutputError) as caught:
            written(path, signal)
    assert caught.value.message == f"cannot write (no space left on device): {path}"
    assert caught.value.hint == "free some space, or choose another disk"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
def test_disk_that_fails_at_the_very_end(tmp_path, monkeypatch, format):
    written(tmp_path / f"whole.{format}", noise(40_000))
    whole = (tmp_path / f"whole.{format}").stat().st_size
    write, total = os.write, 0

    def write_all_but_the_end(descriptor, data):
        nonlocal total
        if total + len(data) > whole - 1 and format != "wav":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        total += len(data)
        return write(descriptor, data)

    path = tmp_path / f"x.{format}"
    with monkeypatch.context() as patch:
        patch.setattr(pending.os, "write", write_all_but_the_end)
        with AudioWriter(path, RATE) as writer:
            writer.write(noise(40_000))
            if format == "wav":  # its end is written long before; closing corrects the header

                def fail(descriptor, data):
                    raise OSError(errno.EIO, os.strerror(errno.EIO))

                patch.setattr(pending.os, "write", fail)
            with pytest.raises(OutputError, match="input/output error"):
                writer.commit()
    assert [p.name for p in tmp_path.iterdir()] == [f"whole.{format}"]


def test_folder_that_takes_no_file(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(pending, "create_temporary", refuse)
    with pytest.raises(OutputError, match="read-only") as caught:
        AudioWriter(tmp_path / "x.wav", RATE)
    assert "choose another folder" in caught.value.hint


def test_encoder_that_refuses_is_one_line(tmp_path, monkeypatch):
    class Refusing:
        def __init__(self, *args, **options):
            raise soundfile.LibsndfileError(1, "Error opening\n")

    monkeypatch.setattr(sndfile, "InOrder", Refusing)
    with pytest.raises(OutputError) as caught:
        AudioWriter(tmp_path / "x.flac", RATE)
    assert "\n" not in caught.value.message
    assert caught.value.message.endswith(f": {tmp_path / 'x.flac'}")
    assert list(tmp_path.iterdir()) == []


# Beyond 4 GB.


def test_long_wav_becomes_rf64(tmp_path, monkeypatch):
    monkeypatch.setattr(wav, "MAX_WAV_BYTES", 2000)
    for num_samples, container in [(1000, b"RIFF"), (1001, b"RF64")]:
        path = tmp_path / f"{num_samples}.wav"
        written(path, noise(num_samples), num_samples=num_samples)
        assert path.read_bytes()[:4] == container
        with AudioReader(path) as reader:
            got = np.concatenate(list(reader.blocks()))
        assert np.abs(got - noise(num_samples)).max() <= STEP16 / 2
    # 24 bits and two channels count as well
    path = tmp_path / "stereo.wav"
    written(path, noise(334, 2), num_samples=334, subtype="PCM_24")
    assert path.read_bytes()[:4] == b"RF64"


def test_wav_that_grows_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(wav, "MAX_WAV_BYTES", 2000)
    with AudioWriter(tmp_path / "x.wav", RATE) as writer:
        writer.write(noise(600))
        with pytest.raises(OutputError, match="too long for a WAV of 4 GB") as caught:
            writer.write(noise(401))
        writer.write(noise(400))
        writer.commit()
    assert caught.value.hint == "use --format flac"
    assert soundfile.info(tmp_path / "x.wav").frames == 1000
    written(tmp_path / "x.flac", noise(5000))


def test_the_real_limit_fits_into_32_bits():
    assert wav.MAX_WAV_BYTES + 1000 < 1 << 32
    assert struct.pack("<I", wav.MAX_WAV_BYTES + 1000)
    assert wav.MAX_WAV_BYTES > 4_200_000_000


def test_clipped_values_are_counted_over_all_blocks(tmp_path):
    with AudioWriter(tmp_path / "x.wav", 8000) as writer:
        writer.write(np.float32([2.0, 0.0]))
        writer.write(np.float32([-2.0, 3.0]))
        assert writer.num_clipped == 3
