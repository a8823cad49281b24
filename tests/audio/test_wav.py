import errno
import io
import os

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sepcli.audio import wav
from sepcli.audio.sndfile import NOT_RECOGNISED, SndfileDecoder
from sepcli.audio.wav import WavEncoder, wav_decoder
from sepcli.files.pending import PendingFile

RATE = 22_050


def written(folder, blocks, promised, subtype, num_channels):
    """Return the bytes of a WAV of these blocks."""
    file = PendingFile(folder / "x.wav", overwrite=True)
    encoder = WavEncoder(file, RATE, num_channels, subtype, promised)
    for block in blocks:
        encoder.write(block)
    encoder.close()
    file.close()
    file.check()
    file.publish()
    return (folder / "x.wav").read_bytes()


def values(subtype, num_samples, num_channels):
    generator = np.random.default_rng(num_samples)
    floats = generator.uniform(-1, 1, (num_samples, num_channels)).astype(np.float32)
    if subtype == "FLOAT":
        return floats
    bits = 15 if subtype == "PCM_16" else 31
    kind = np.int16 if subtype == "PCM_16" else np.int32
    return (floats.astype(np.float64) * 2**bits).astype(kind) & (-1 if bits == 15 else -256)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("promised", [0, 7, 9])
@pytest.mark.parametrize("is_long", [False, True])
def test_libsndfile_reads_what_was_written(
    tmp_path, monkeypatch, subtype, num_channels, promised, is_long
):
    if is_long:  # as if these few bytes were too many for 32 bits
        monkeypatch.setattr(wav, "MAX_WAV_BYTES", -1)
    sound = values(subtype, 7, num_channels)
    data = written(tmp_path, [sound[:3], sound[3:3], sound[3:]], promised, subtype, num_channels)
    assert data[:4] == (b"RF64" if is_long else b"RIFF")
    info = soundfile.info(io.BytesIO(data))
    assert (info.samplerate, info.channels, info.frames) == (RATE, num_channels, 7)
    assert info.subtype == subtype
    got, _ = soundfile.read(io.BytesIO(data), dtype=sound.dtype.name, always_2d=True)
    assert (got == sound).all()
    assert len(data) % 2 == 0


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_bytes_are_those_of_libsndfile(tmp_path, subtype):
    sound = values(subtype, 101, 1)
    expected = io.BytesIO()
    soundfile.write(expected, sound, RATE, subtype, format="WAV")
    assert written(tmp_path, [sound], 101, subtype, 1) == expected.getvalue()


def test_the_same_estimates_give_the_same_bytes_at_any_time(tmp_path):
    sound = values("FLOAT", 50, 1)
    first = written(tmp_path, [sound], 50, "FLOAT", 1)
    assert b"PEAK" not in first  # it would hold the time
    assert first == written(tmp_path, [sound[:20], sound[20:]], 0, "FLOAT", 1)


def test_no_samples_are_a_file_too(tmp_path):
    assert soundfile.info(io.BytesIO(written(tmp_path, [], 0, "PCM_16", 1))).frames == 0


def sound_file(subtype, num_channels=1, num_samples=50):
    generator = np.random.default_rng(3)
    sound = generator.uniform(-1.2, 1.2, (num_samples, num_channels)).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, subtype, format="WAV")
    return file.getvalue()


def opened(folder, data):
    path = folder / "x.wav"
    path.write_bytes(data)
    return path.open("rb", buffering=0)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([("PCM_16", 1), ("PCM_16", 2), ("FLOAT", 1), ("FLOAT", 3), ("PCM_24", 1)]),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=2),
    st.integers(0, 40),
)
def test_what_we_read_ourselves_libsndfile_reads_the_same(tmp_path, kind, changes, cut):
    """Headers with changed bytes, and files that were cut off."""
    data = bytearray(sound_file(*kind))
    for position, value in changes:
        data[position] = value
    with opened(tmp_path, data[: len(data) - cut]) as file:
        ours = wav_decoder(file)
        if ours is None:
            return
        got = ours.read(1000)
        try:
            theirs = SndfileDecoder(file)
        except NOT_RECOGNISED:  # it takes offence at chunks that say nothing about the sound
            return
        expected = theirs.read(1000)
        for name in ("sample_rate", "num_channels", "num_samples", "format", "subtype"):
            assert getattr(ours, name) == getattr(theirs, name)
        assert np.array_equal(got, expected, equal_nan=True)
        assert theirs.num_absent == 0


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_pieces_and_skips_keep_their_place(tmp_path, subtype):
    data = sound_file(subtype, 2)
    whole, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    with opened(tmp_path, data) as file:
        decoder = wav_decoder(file)
        assert decoder.num_samples == 50
        pieces = [decoder.read(7)]
        assert decoder.skip(20) == 20
        pieces += [decoder.read(10), decoder.read(1000), decoder.read(5)]
        assert [len(piece) for piece in pieces] == [7, 10, 13, 0]
        assert (np.concatenate(pieces) == np.delete(whole, np.s_[7:27], axis=0)).all()
        assert decoder.skip(1) == 0


def test_a_file_that_shrinks_meanwhile_ends_there(tmp_path):
    data = sound_file("PCM_16")
    with opened(tmp_path, data) as file:
        decoder = wav_decoder(file)
        (tmp_path / "x.wav").write_bytes(data[: 44 + 21])
        assert len(decoder.read(1000)) == 10
        assert len(decoder.read(1000)) == 0


def test_a_disk_that_fails_is_told():
    class Failing(io.BytesIO):
        broken = False

        def read(self, size=-1):
            if self.broken:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(size)

    file = Failing(sound_file("PCM_16"))
    decoder = wav_decoder(file)
    file.broken = True
    assert len(decoder.read(10)) == 0
    assert decoder.problem == "input/output error"


@pytest.mark.parametrize("num_samples", [0, 1])
def test_others_are_left_to_libsndfile(tmp_path, num_samples):
    signal = np.zeros(num_samples, np.float32)
    for format, subtype in [
        ("WAV", "PCM_U8"),
        ("WAV", "ULAW"),
        ("FLAC", "PCM_16"),
        ("W64", "FLOAT"),
    ]:
        file = io.BytesIO()
        soundfile.write(file, signal, RATE, subtype, format=format)
        assert wav_decoder(file) is None
    assert wav_decoder(io.BytesIO(b"")) is None
