import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepcli.separation.speakers import fit_levels


def voices(num_speakers, num_samples=4000, seed=0):
    return np.random.default_rng(seed).standard_normal((num_speakers, num_samples), np.float32)


@given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=4))
@settings(deadline=None)
def test_gains_undo_the_scale_of_each_estimate(scales):
    sources = voices(len(scales))
    scales = np.array(scales, np.float32)
    gains = fit_levels(sources.sum(0), sources / scales[:, np.newaxis])
    # The prior pulls by a thousandth of the distance to the common gain.
    np.testing.assert_allclose(gains, scales, rtol=0.01, atol=2e-3 * scales.max())


@pytest.mark.parametrize("level", [1.0, 1e-9])
def test_a_faint_copy_is_not_raised(level):
    voice = np.float32(level) * voices(1)[0]
    gains = fit_levels(voice, np.stack([voice, 0.05 * voice]))
    assert gains.dtype == np.float32
    np.testing.assert_allclose(gains, 1 / 1.05, rtol=0.01)


@pytest.mark.parametrize("level", [1e-9, 1.0, 1e9])
def test_the_level_of_the_recording_changes_nothing(level):
    sources = np.float32(level) * voices(2)
    gains = fit_levels(sources.sum(0), sources / np.float32([[3.0], [0.5]]))
    np.testing.assert_allclose(gains, [3.0, 0.5], rtol=0.01)


def test_opposite_estimates_are_copies_of_one_another():
    (voice,) = voices(1)
    gains = fit_levels(voice, np.stack([voice, -voice]))
    np.testing.assert_allclose(gains, [0.5, -0.5], atol=1e-3)


def test_an_estimate_that_explains_nothing_is_not_turned_upside_down():
    first, second = voices(2)
    gains = fit_levels(first, np.stack([first + second, second]))
    assert (gains >= 0.0).all()
    assert gains[0] > 0.1


def test_leakage_upside_down_does_not_turn_a_faint_voice():
    loud, faint = voices(2) * np.float32([[1.0], [0.1]])
    gains = fit_levels(loud + faint, np.stack([loud, faint - 0.1 * loud]))
    assert (gains > 0.5).all()


def test_estimates_that_are_hardly_separated_stay_audible():
    first, second, third = voices(3)
    mixture = first + second
    gains = fit_levels(mixture, np.stack([mixture + 0.1 * third, mixture + 0.3 * third]))
    assert gains[1] > 0.04
    np.testing.assert_allclose(gains[0] + gains[1], 1.0, atol=0.05)


@pytest.mark.parametrize("polarity", [(-1, -1), (1, -1), (-1, 1)])
def test_estimates_upside_down_are_turned_back(polarity):
    sources = voices(2)
    scales = np.float32([3.0, 0.5]) * np.float32(polarity)
    gains = fit_levels(sources.sum(0), sources / scales[:, np.newaxis])
    np.testing.assert_allclose(gains, scales, rtol=0.01)


def test_noise_that_explains_nothing_is_turned_down():
    voice, noise = voices(2)
    gains = fit_levels(voice, np.stack([voice, 10.0 * noise]))
    assert gains[0] == pytest.approx(1.0, abs=0.01)
    assert gains[1] < 0.01


@pytest.mark.parametrize("level", [0.0, 1e-20])
def test_silence_gives_finite_gains(level):
    silence = np.full((2, 100), level, np.float32)
    (voice,) = voices(1, 100)
    assert np.isfinite(fit_levels(silence[0], silence)).all()
    np.testing.assert_array_equal(fit_levels(silence[0] * 0, np.stack([voice, voice])), 0.0)
    gains = fit_levels(voice, np.stack([voice, 0 * voice]))
    np.testing.assert_allclose(gains, 1.0, atol=1e-5)


def test_estimates_that_are_equal_share():
    (voice,) = voices(1)
    gains = fit_levels(voice, np.stack([voice, voice]))
    np.testing.assert_allclose(gains, 0.5, rtol=1e-3)
