import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepcli.separation.speakers import remove_leakage
from sepcli.separation.speakers.crosstalk import _smooth, _spectra, _taper, _waveform
from tests.separation.speakers.talk import RATE, hum


def noise(num_speakers, num_samples=4000, seed=0):
    return np.random.default_rng(seed).standard_normal((num_speakers, num_samples), np.float32)


def level_db(signal, reference):
    return 10 * np.log10(np.mean(signal**2) / np.mean(reference**2) + 1e-12)


@pytest.mark.parametrize("num_speakers", [2, 3])
def test_a_copy_goes_back_to_who_speaks(num_speakers):
    (voice,) = noise(1)
    estimates = np.stack([0.8 * voice, *[0.2 / (num_speakers - 1) * voice] * (num_speakers - 1)])
    cleaned = remove_leakage(estimates, RATE)
    assert cleaned.dtype == np.float32
    np.testing.assert_allclose(cleaned[0], voice, atol=0.05)
    assert level_db(cleaned[1:], voice) < -40


def test_a_filtered_copy_goes_too():
    (voice,) = noise(1)
    leak = np.convolve(voice, [0.1, -0.05, 0.08], "same").astype(np.float32)
    cleaned = remove_leakage(np.stack([voice, leak]), RATE)
    assert level_db(cleaned[1], voice) < level_db(leak, voice) - 12


def test_voices_that_are_not_copies_stay():
    sources = np.stack([hum(0, 8000), 0.3 * hum(2, 8000)])
    cleaned = remove_leakage(sources, RATE)
    for before, after in zip(sources, cleaned, strict=True):
        assert level_db(after - before, before) < -25


def test_noise_that_is_not_a_copy_stays():
    loud, faint = noise(2, 20_000)
    estimates = np.stack([loud, 0.2 * faint])
    cleaned = remove_leakage(estimates, RATE)
    # 15 bins and frames, overlapping by half, explain an eighth of each other by chance: a few
    # of them pass for copies.
    assert level_db(cleaned[1] - estimates[1], estimates[1]) < -10


@given(st.integers(1, 4), st.integers(0, 700), st.sampled_from([1000, 8000]))
@settings(max_examples=50, deadline=None)
def test_shape_and_sum_stay(num_speakers, num_samples, sample_rate):
    estimates = noise(num_speakers, num_samples) * np.float32(0.3) ** np.arange(
        num_speakers, dtype=np.float32
    ).reshape(-1, 1)
    given_estimates = estimates.copy()
    cleaned = remove_leakage(estimates, sample_rate)
    assert cleaned.shape == estimates.shape
    assert cleaned.dtype == np.float32
    np.testing.assert_allclose(cleaned.sum(axis=0), estimates.sum(axis=0), atol=1e-5)
    np.testing.assert_array_equal(estimates, given_estimates)


def test_silence_stays_silence():
    silence = np.zeros((2, 1000), np.float32)
    np.testing.assert_array_equal(remove_leakage(silence, RATE), silence)
    (voice,) = noise(1)
    one = np.stack([voice, np.zeros_like(voice)])
    np.testing.assert_allclose(remove_leakage(one, RATE), one, atol=1e-6)


def test_level_changes_nothing():
    estimates = np.stack([noise(1)[0], 0.2 * noise(1)[0]])
    quiet = remove_leakage(np.float32(1e-4) * estimates, RATE)
    np.testing.assert_allclose(1e4 * quiet, remove_leakage(estimates, RATE), atol=1e-4)


@pytest.mark.parametrize("num_samples", [64, 65, 100, 127, 128])
def test_short_time_spectra_reconstruct(num_samples):
    signals = noise(2, num_samples)
    spectra = _spectra(signals, 32)
    for signal, each in zip(signals, spectra, strict=True):
        np.testing.assert_allclose(_waveform(each, num_samples), signal, atol=1e-5)


def test_smoothing_sums_the_neighbourhood():
    values = np.arange(42.0).reshape(6, 7) ** 2
    padded = np.pad(values, ((1, 1), (2, 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 5))
    np.testing.assert_allclose(_smooth(values), windows.sum(axis=(2, 3)))
    np.testing.assert_allclose(_smooth(np.ones((1, 1))), 1.0)


def test_the_window_is_symmetric_and_adds_up():
    window = _taper(8)
    np.testing.assert_array_equal(window, window[::-1])
    np.testing.assert_allclose(window[:8] ** 2 + window[8:] ** 2, 1.0, rtol=1e-6)
