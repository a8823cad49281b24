"""What levels tell of each step of 100 ms: which outputs hold somebody, and if several do; pure."""

from typing import Any

import numpy as np

from sepcli.separation.chunking import FLOOR_DB, PEAK_PERCENTILE, STEP_DB
from sepcli.separation.speakers.timeline import Timeline

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]

STEP_FRAMES = 10
LEVEL_WEIGHT = 0.08  # log odds a dB that an output holds somebody
PRESENT_DB = 3.0  # below the strongest output: as likely a voice as leakage
SMALLEST_DB = 25.0  # below the strongest; differences beyond say no more
# Log odds that several speak, beside these. Words end faintly: so much for each dB below the loud
# parts. One voice in two outputs adds up in phase: so much for each dB that the mixture is louder
# than outputs would be together if they had nothing in common.
SEVERAL_ODDS, LOUD_WEIGHT, COHERENT_WEIGHT = 0.5, 0.07, -0.6
MOST_COHERENT_DB = 10.0  # more is noise that the network leaves out


def loud_level(timeline: Timeline) -> float:
    """Return the level of the loud parts of the mixture [dB]."""
    counts = np.zeros(256)
    for part in timeline.parts():
        counts += np.bincount(timeline.levels[0, part], minlength=len(counts))
    share = np.cumsum(counts[1:]) / max(1, counts[1:].sum())  # without silence
    return float((1 + np.searchsorted(share, PEAK_PERCENTILE / 100.0)) * STEP_DB + FLOOR_DB)


def step_levels(timeline: Timeline, start: int, num_steps: int) -> FloatArray:
    """Return levels [dB] of 300 ms around steps, 200 at the ends, `[steps, 1 + outputs]`.

    Args:
        timeline: What was heard.
        start: First frame of the first step.
        num_steps: How many; the last may reach beyond the end.
    """
    first = max(0, start - STEP_FRAMES)
    decibels = timeline.decibels(first, start + (num_steps + 1) * STEP_FRAMES)
    power = 10.0 ** (decibels / 10.0)
    total = np.cumsum(np.pad(power, ((0, 0), (1, 0))), axis=1, dtype=np.float64)
    edges = start - first + np.arange(num_steps) * STEP_FRAMES
    before, after = np.maximum(edges - STEP_FRAMES, 0), edges + 2 * STEP_FRAMES
    after = np.minimum(after, power.shape[1])
    mean = (total[:, after] - total[:, before]) / (after - before)
    levels: FloatArray = 10.0 * np.log10(np.maximum(mean, 1e-12))
    return levels.T


def present(levels: FloatArray) -> FloatArray:
    """Return how far each output is above what as likely is leakage [dB], `[steps, outputs]`.

    Args:
        levels: Of the mixture and each output [dB], `[steps, 1 + outputs]`.
    """
    outputs = levels[:, 1:]
    below = np.minimum(outputs.max(axis=1, keepdims=True) - outputs, SMALLEST_DB)
    return np.asarray(PRESENT_DB - below)


def odds_of_several(levels: FloatArray, loud_db: float) -> FloatArray:
    """Return log odds that several speak, beside those by how outputs differ, `[steps]`.

    Args:
        levels: Of the mixture and each output [dB], `[steps, 1 + outputs]`.
        loud_db: See `loud_level`.
    """
    together = 10.0 * np.log10(np.sum(10.0 ** (levels[:, 1:] / 10.0), axis=1))
    more = np.clip(levels[:, 0] - together, -MOST_COHERENT_DB, MOST_COHERENT_DB)
    loudness = np.minimum(levels[:, 1:].max(axis=1) - loud_db, 0.0)
    odds: FloatArray = SEVERAL_ODDS + LOUD_WEIGHT * loudness + COHERENT_WEIGHT * more
    return odds
