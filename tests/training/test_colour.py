"""Long-term spectra: made alike, or changed at random; nothing is delayed."""

from dataclasses import replace

import numpy as np

from sepcli.training.colour import draw_colours, filtered, long_term_levels
from sepcli.training.recipe import DataRecipe

RECIPE = DataRecipe()


def noises(seconds: float = 4.0) -> np.ndarray:
    """Two noises of 8 kHz, one of them dull: 6 dB an octave less."""
    white = np.random.default_rng(0).standard_normal((2, int(8000 * seconds)))
    white[1] = np.convolve(white[1], 0.9 ** np.arange(64))[: white.shape[1]]
    return (0.1 * white).astype(np.float32)


def test_speakers_made_alike_have_one_spectrum() -> None:
    before = long_term_levels(noises())
    recipe = replace(RECIPE, alike_share=1.0)
    after = long_term_levels(draw_colours(noises(), recipe, np.random.default_rng(0)))
    assert np.abs(before[0] - before[1]).mean() > 4.0
    assert np.abs(after[0] - after[1]).mean() < 0.5
    assert np.abs(after.mean(0) - before.mean(0)).mean() < 0.5


def test_a_filter_has_the_gains_asked_for_and_no_delay() -> None:
    impulse = np.zeros((2, 2000), np.float32)
    impulse[:, 700] = 1.0
    heard = filtered(impulse, np.stack([np.zeros(257), np.linspace(-12.0, 6.0, 257)]))
    np.testing.assert_allclose(heard[0], impulse[0], atol=1e-6)
    assert heard[1].argmax() == 700
    found = 20 * np.log10(np.abs(np.fft.rfft(heard[1, 700 - 256 : 700 + 256])))
    np.testing.assert_allclose(found, np.linspace(-12.0, 6.0, 257), atol=0.3)


def test_each_speaker_gets_a_filter_of_their_own() -> None:
    recipe, sources = replace(RECIPE, colour_share=1.0), noises()
    changed = long_term_levels(draw_colours(sources, recipe, np.random.default_rng(1)))
    difference = changed - long_term_levels(sources)
    assert (np.abs(difference).max(1) > 2.0).all()
    assert np.abs(difference[0] - difference[1]).max() > 2.0


def test_shares_are_those_of_the_recipe() -> None:
    recipe, sources = replace(RECIPE, alike_share=0.2, colour_share=0.3), noises(0.1)
    same = [
        np.array_equal(draw_colours(sources, recipe, np.random.default_rng(seed)), sources)
        for seed in range(300)
    ]
    assert abs(np.mean(same) - 0.5) < 0.09  # three standard errors


def test_without_shares_nothing_is_drawn() -> None:
    rng, sources = np.random.default_rng(2), noises(0.1)
    assert draw_colours(sources, RECIPE, rng) is sources
    assert rng.random() == np.random.default_rng(2).random()
