"""Effects do what their names say, and leave the references where nothing filters them."""

from collections.abc import Callable

import numpy as np
import pytest

from sepcli.training import effects
from sepcli.training.dataset import Waveform

RATE = 16000


def mixture(seconds: float = 1.0) -> tuple[Waveform, Waveform]:
    noise = np.random.default_rng(0).standard_normal((2, round(seconds * RATE)))
    references = (0.1 * noise).astype(np.float32)
    return references.sum(0), references


def power(signal: Waveform, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(signal)) ** 2
    hertz = np.fft.rfftfreq(signal.shape[-1], 1 / RATE)
    return float(spectrum[..., (hertz >= low) & (hertz < high)].sum())


@pytest.mark.parametrize("effect", effects.EFFECTS)
def test_length_type_and_seed(effect: effects.Effect) -> None:
    mixed, references = mixture(0.7)
    results = [effect(mixed, references, RATE, np.random.default_rng(seed)) for seed in (3, 3)]
    after, truth = results[0]
    assert after.shape == mixed.shape and truth.shape == references.shape
    assert after.dtype == truth.dtype == np.float32
    assert np.isfinite(after).all()
    assert not np.array_equal(after, mixed)
    np.testing.assert_array_equal(after, results[1][0])


@pytest.mark.parametrize("effect", [effects.telephone_band, effects.coding])
def test_rates_that_an_effect_does_not_fit_are_left_alone(effect: effects.Effect) -> None:
    mixed, references = mixture()
    after, truth = effect(mixed, references, 7350, np.random.default_rng(0))
    assert after is mixed and truth is references


def test_a_telephone_filters_references_like_the_mixture() -> None:
    mixed, references = mixture()
    after, truth = effects.telephone_band(mixed, references, RATE, np.random.default_rng(0))
    np.testing.assert_allclose(truth.sum(0), after, atol=1e-5)
    assert power(after, 5000, 8000) < 1e-3 * power(mixed, 5000, 8000)
    assert power(after, 300, 3000) > 0.9 * power(mixed, 300, 3000)


def test_clipping_cuts_the_highest_peaks() -> None:
    mixed, references = mixture()
    after, _ = effects.clipping(mixed, references, RATE, np.random.default_rng(0))
    changed = np.mean(after != mixed)
    low, high = effects.CLIPPED_SHARE
    assert low / 2 < changed < high * 1.1
    assert np.abs(after).max() < np.abs(mixed).max()


@pytest.mark.parametrize("effect", [effects.hum, effects.rumble])
def test_disturbances_are_low_and_as_loud_as_drawn(
    effect: Callable[..., effects.Mixed],
) -> None:
    mixed, references = mixture()
    for seed in range(10):
        after, truth = effect(mixed, references, RATE, np.random.default_rng(seed))
        assert truth is references
        added = after - mixed
        level = 10 * np.log10(np.square(mixed).mean() / np.square(added).mean())
        assert 4.9 < level < 25.1
        assert power(added, 0, 500) > 0.7 * power(added, 0, 8000)


def test_coding_keeps_the_place_of_sound() -> None:
    quiet = np.zeros(RATE, np.float32)
    time = np.arange(4000) / RATE
    quiet[6000:10000] = 0.3 * np.sin(2 * np.pi * 440 * time)
    after, _ = effects.coding(quiet, quiet[None], RATE, np.random.default_rng(0))
    assert np.corrcoef(after, quiet)[0, 1] > 0.9  # a delay of 9 samples would halve it
