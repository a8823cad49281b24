import numpy as np
import pytest

from sepcli.separation.speakers.activity import STEP_FRAMES, _below_strongest
from sepcli.separation.speakers.timeline import FLOOR_DB, STEP_DB, Timeline


def test_who_is_quiet_after_a_loud_minute_is_told_as_well() -> None:
    minute = 6000
    levels = np.full((3, 2 * minute), -60.0)
    levels[:2, :minute] = -10.0
    levels[2, minute:] = -72.0
    steps = np.round((levels - FLOOR_DB) / STEP_DB).astype(np.uint8)
    timeline = Timeline(steps, np.zeros(0, np.int64), np.zeros((0, 3, 0), np.int8))
    below = _below_strongest(timeline, 0, 2 * minute // STEP_FRAMES)
    quiet = below[2 + minute // STEP_FRAMES :]
    np.testing.assert_allclose(quiet[:, 0], 0.0)
    assert quiet[:, 1] == pytest.approx(12.0, abs=0.01)
