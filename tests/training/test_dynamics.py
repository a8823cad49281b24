"""Compressors: what is loud comes out softer, by as much as the curve says."""

from dataclasses import replace

import numpy as np
import pytest

from sepcli.training.dynamics import compressed, draw_compressors
from sepcli.training.recipe import DataRecipe

RATE = 8000
RECIPE = DataRecipe()


def steps(*levels_db: float) -> np.ndarray:
    """A second of noise at each level."""
    white = np.random.default_rng(0).standard_normal((len(levels_db), RATE))
    loud = white * 10 ** (np.array(levels_db)[:, None] / 20)
    return loud.astype(np.float32).ravel()


def level_db(voice: np.ndarray, second: int) -> float:
    settled = voice[second * RATE + RATE // 2 : (second + 1) * RATE]
    return float(10 * np.log10(np.square(settled, dtype=float).mean()))


@pytest.mark.parametrize("ratio", [2.0, 4.0])
def test_above_the_threshold_levels_rise_by_less(ratio: float) -> None:
    voice = steps(0.0, -20.0, -60.0)  # its power is 4.7 dB below that of its loudest part
    heard = compressed(voice, threshold_db=-30.0, ratio=ratio, smooth_samples=200.0)
    assert level_db(heard, 0) - level_db(heard, 1) == pytest.approx(20 / ratio, abs=0.3)
    np.testing.assert_array_equal(heard[-RATE // 2 :], voice[-RATE // 2 :])  # below it


def test_a_ratio_of_one_changes_nothing() -> None:
    voice = steps(-10.0, -30.0)
    heard = compressed(voice, threshold_db=-30.0, ratio=1.0, smooth_samples=50.0)
    np.testing.assert_array_equal(heard, voice)


def test_silence_stays_silent() -> None:
    silence = np.zeros(RATE, np.float32)
    heard = compressed(silence, threshold_db=-20.0, ratio=4.0, smooth_samples=50.0)
    np.testing.assert_array_equal(heard, silence)


def test_each_speaker_gets_a_compressor_in_the_share_of_the_recipe() -> None:
    recipe, sources = replace(RECIPE, compressed_share=0.3), np.stack([steps(0.0, -25.0)] * 2)
    heard = [draw_compressors(sources, recipe, RATE, np.random.default_rng(n)) for n in range(200)]
    changed = [rows for rows in heard if rows is not sources]
    assert abs(len(changed) / 200 - 0.3) < 0.1  # three standard errors
    assert all(not np.array_equal(*rows) for rows in changed)
    assert all(rows.dtype == np.float32 for rows in changed)


def test_without_a_share_nothing_is_drawn() -> None:
    rng, sources = np.random.default_rng(2), np.stack([steps(0.0)] * 2)
    assert draw_compressors(sources, RECIPE, RATE, rng) is sources
    assert rng.random() == np.random.default_rng(2).random()
