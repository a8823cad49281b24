import numpy as np
import pytest
import soundfile

from sepcli.audio.sndfile import SndfileDecoder

SIGNAL = (np.arange(-3000, 3000)[:, np.newaxis] / 32768).astype(np.float32)


@pytest.mark.parametrize("format", ["wav", "flac", "ogg"])
def test_what_is_passed_over_is_what_reading_would_have_given(tmp_path, format):
    path = tmp_path / f"x.{format}"
    soundfile.write(path, SIGNAL, 8000)
    with path.open("rb", buffering=0) as file:
        decoder = SndfileDecoder(file)
        whole = decoder.read(len(SIGNAL) + 1)
        decoder.close()
        decoder = SndfileDecoder(file)
        assert decoder.skip(0) == 0
        assert decoder.skip(1000) == 1000
        assert np.array_equal(decoder.read(500), whole[1000:1500])
        assert decoder.skip(2000) == 2000
        assert decoder.skip(1000) == 1000
        assert np.array_equal(decoder.read(700), whole[4500:5200])
        assert decoder.skip(5000) == 800  # there are no more
        assert decoder.skip(1) == 0
        assert len(decoder.read(1)) == 0
        decoder.close()


def test_samples_of_known_size_are_passed_over_without_decoding(tmp_path, monkeypatch):
    path = tmp_path / "x.wav"
    soundfile.write(path, SIGNAL, 8000)
    with path.open("rb", buffering=0) as file:
        decoder = SndfileDecoder(file)
        with monkeypatch.context() as patch:
            patch.setattr(decoder, "read", lambda num_samples: pytest.fail("decoded"))
            assert decoder.skip(2500) == 2500
            assert decoder.skip(2500) == 2500
            assert decoder.skip(1000) == 1000  # to the very end
        assert len(decoder.read(10)) == 0
        decoder.close()
