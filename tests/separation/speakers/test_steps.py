"""What levels of a made-up timeline tell; levels are exact to half a step of 8 bits."""

import numpy as np
import pytest

from sepcli.separation.chunking import FLOOR_DB, STEP_DB
from sepcli.separation.speakers.steps import (
    COHERENT_WEIGHT,
    LOUD_WEIGHT,
    MOST_COHERENT_DB,
    PRESENT_DB,
    SEVERAL_ODDS,
    SMALLEST_DB,
    loud_level,
    odds_of_several,
    present,
    step_levels,
)
from sepcli.separation.speakers.timeline import Timeline

EXACT = STEP_DB / 2


def timeline_of(*decibels: np.ndarray) -> Timeline:
    """Return a timeline of levels [dB], of the mixture first, `[frames]` each."""
    steps = np.round((np.array(decibels) - FLOOR_DB) / STEP_DB).astype(np.uint8)
    return Timeline(steps, np.zeros(0, np.int64), np.zeros((0, len(decibels), 0), np.int8))


def test_levels_are_of_300_ms_around_a_step_also_in_the_middle_of_a_recording() -> None:
    loud = np.full(100, -60.0)
    loud[50:60] = -20.0  # the sixth step of 100 ms
    timeline = timeline_of(loud, loud)
    third = -20.0 - 10 * np.log10(3)  # of the power of a step that is a third of what is heard
    levels = step_levels(timeline, 0, 10)
    assert levels.shape == (10, 2)
    assert levels[:, 0] == pytest.approx(
        np.where(np.isin(range(10), (4, 5, 6)), third, -60.0), abs=EXACT
    )
    assert step_levels(timeline, 40, 3) == pytest.approx(levels[4:7])


def test_the_loud_level_is_the_loud_parts_whatever_is_silent() -> None:
    silence = np.full(500, FLOOR_DB)
    speech = np.where(np.arange(100) < 90, -40.0, -20.0)
    for before in (silence[:0], silence):
        mixture = np.concatenate([before, speech])
        assert loud_level(timeline_of(mixture, mixture)) == pytest.approx(-20.0, abs=EXACT)
    assert np.isfinite(loud_level(timeline_of(silence, silence)))


def test_outputs_near_the_strongest_hold_somebody_and_weak_ones_do_not() -> None:
    levels = np.array([[0.0, -20.0, -22.0], [0.0, -70.0, -20.0]])
    assert present(levels) == pytest.approx(
        np.array([[PRESENT_DB, PRESENT_DB - 2.0], [PRESENT_DB - SMALLEST_DB, PRESENT_DB]])
    )


def test_two_signals_with_nothing_in_common_are_several_and_one_in_two_outputs_is_not() -> None:
    two, one = np.array([-17.0, -20.0, -20.0]), np.array([-14.0, -20.0, -20.0])
    odds = odds_of_several(np.stack([two, one]), loud_db=-20.0)
    assert odds[0] == pytest.approx(SEVERAL_ODDS, abs=0.01)
    assert odds[1] - odds[0] == pytest.approx(3.0 * COHERENT_WEIGHT)
    assert odds[1] < -1.0 < 0.0 < odds[0]


def test_faint_words_and_noise_that_the_network_leaves_out_speak_for_one_within_bounds() -> None:
    levels = np.array([[-17.0, -20.0, -20.0], [0.0, -70.0, -70.0]])
    odds = odds_of_several(levels, loud_db=-10.0)
    assert odds[0] == pytest.approx(SEVERAL_ODDS - 10.0 * LOUD_WEIGHT, abs=0.01)
    assert odds[1] == pytest.approx(
        SEVERAL_ODDS - 60.0 * LOUD_WEIGHT + MOST_COHERENT_DB * COHERENT_WEIGHT, abs=0.01
    )
