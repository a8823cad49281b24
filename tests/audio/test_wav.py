import io

import numpy as np
import pytest
import soundfile

from sepcli.audio import wav
from sepcli.audio.wav import WavEncoder
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
