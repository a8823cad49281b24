import numpy as np
import pytest
from scipy.signal import lfilter

from sepcli.separation.speakers.embedding import builtin

SECOND = 8_000


def vowels(pitch, formants, seconds=3.0, sample_rate=8_000, seed=0):
    """Return a synthetic voice `[samples]`: pulses at a pitch through moving resonances."""
    rng = np.random.default_rng(seed)
    num_samples = int(seconds * sample_rate)
    drift = 1.0 + 0.1 * np.sin(2 * np.pi * np.arange(num_samples) / sample_rate * 1.3 + seed)
    phase = np.cumsum(pitch * drift / sample_rate)
    signal = np.diff(np.floor(phase), prepend=0.0) + 0.01 * rng.standard_normal(num_samples)
    for formant in formants:
        radius, angle = np.exp(-np.pi * 80 / sample_rate), 2 * np.pi * formant / sample_rate
        signal = lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], signal)
    return (0.05 * signal / np.sqrt(np.mean(signal**2))).astype(np.float32)


@pytest.fixture(scope="module")
def embed():
    return builtin.load_embed()


def test_embeddings_have_length_one_and_one_size(embed):
    for num_samples in (1, 100, SECOND // 3, 3 * SECOND):
        voice = embed(vowels(120, (500, 1500))[:num_samples], 8_000)
        assert voice.shape == (128,)
        assert np.linalg.norm(voice) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("signal", [np.zeros(8_000, np.float32), np.zeros(0, np.float32)])
def test_silence_gives_a_finite_embedding(embed, signal):
    assert np.isfinite(embed(signal, 8_000)).all()


def test_level_does_not_matter(embed):
    voice = vowels(120, (500, 1500))
    for gain in (1e-3, 30.0):
        assert embed(voice, 8_000) @ embed(np.float32(gain) * voice, 8_000) > 0.999


def test_rate_does_not_matter(embed):
    import soxr

    voice = vowels(120, (500, 1500))
    for rate in (16_000, 44_100):
        other = soxr.resample(voice, 8_000, rate).astype(np.float32)
        assert embed(voice, 8_000) @ embed(other, rate) > 0.99


def test_unlike_voices_are_further_apart_than_pieces_of_one(embed):
    low = [embed(vowels(100, (450, 1100, 2300), seed=k), 8_000) for k in range(2)]
    high = [embed(vowels(230, (650, 1900, 3000), seed=k), 8_000) for k in range(2)]
    same = min(low[0] @ low[1], high[0] @ high[1])
    different = max(a @ b for a in low for b in high)
    assert same > different + 0.3


@pytest.mark.parametrize(("window", "hop"), [(12_000, 4_000), (4_000, 4_000), (3_001, 801)])
def test_windows_that_slide_sound_like_each_on_its_own(embed, window, hop):
    voice = np.concatenate([vowels(120, (500, 1500)), vowels(230, (650, 1900))])
    found = embed.sliding(voice, 8_000, window, hop)
    starts = range(0, len(voice) - window + 1, hop)
    alone = np.stack([embed(voice[start : start + window], 8_000) for start in starts])
    likeness = alone @ found.T
    assert likeness.diagonal().min() > 0.8
    assert np.median(likeness.diagonal()) > np.median(likeness) + 0.1


def test_a_window_that_has_nothing_beside_it_is_embedded_as_it_is(embed):
    voice = vowels(120, (500, 1500))
    found = embed.sliding(voice, 8_000, len(voice), 4_000)
    np.testing.assert_array_equal(found, embed(voice, 8_000)[np.newaxis])


def test_short_windows_have_a_step_at_least(embed):
    voice = vowels(120, (500, 1500))
    assert np.isfinite(embed.sliding(voice, 8_000, 200, 80)).all()


def test_mel_power_of_a_tone_is_its_power_in_its_band():
    tone = np.sin(2 * np.pi * 1000 * np.arange(8_000) / 8_000).astype(np.float32)
    power = builtin.mel_power(tone, 8_000)
    assert power.shape == ((8_000 - 256) // 160 + 1, builtin.NUM_MELS)
    loudest = power[10].argmax()
    # Half the amplitude is in positive frequencies; the window gives bins beside it half of that.
    assert 0.2 <= power[10, loudest] <= 0.25 * 1.5
    assert power[10, loudest + 5] < 1e-4


def test_log_mel_takes_the_level_out_and_keeps_what_is_40_db_down():
    power = np.random.default_rng(0).random((50, builtin.NUM_MELS), np.float32) + 1.0
    power[:, 7] = 1e-9
    logs = builtin.log_mel(power)
    np.testing.assert_allclose(logs, builtin.log_mel(1000.0 * power), atol=1e-4)
    assert np.exp(logs).mean() == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(logs[:, 7], np.log(1e-4), atol=1e-3)


def test_weights_fit_into_the_package():
    assert builtin.WEIGHTS_FILE.stat().st_size <= 1_000_000
