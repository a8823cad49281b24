import numpy as np
import pytest

from sepcli.separation.speakers.timeline import VOICE_STEPS, Timeline, TimelineBuilder

RATE = 8000


def embed(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return whether the samples are positive or negative, as a voice."""
    return np.array([1.0, 0.0] if samples.mean() > 0 else [0.0, 1.0], np.float32)


def test_blocks_of_any_length_are_heard_alike() -> None:
    random = np.random.default_rng(0)
    signals = (0.1 * random.standard_normal((3, 5 * RATE + 123)) + 0.05).astype(np.float32)
    found = []
    for size in (len(signals[0]), 1000, 77):
        builder = TimelineBuilder(2, RATE, embed)
        for start in range(0, signals.shape[1], size):
            block = signals[:, start : start + size]
            builder.add(block[0], block[1:])
        found.append(builder.finish())
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].levels, other.levels)
        np.testing.assert_array_equal(found[0].voices, other.voices)
    assert found[0].num_frames == 502
    assert found[0].starts.tolist() == [0, 50, 100, 150, 200, 250, 300, 350, 400]


def heard(mixture: float, *outputs: float) -> Timeline:
    """Return what is heard of signals that stand still."""
    builder = TimelineBuilder(len(outputs), RATE, embed)
    ones = np.ones(2 * RATE, np.float32)
    builder.add(mixture * ones, np.stack([each * ones for each in outputs]))
    return builder.finish()


def test_levels_and_voices_are_those_of_the_signals() -> None:
    timeline = heard(0.1, -0.1, 0.05)
    assert timeline.decibels()[:, 7] == pytest.approx([-20.0, -20.0, -26.0], abs=0.25)
    voices = timeline.voices[0] / VOICE_STEPS
    full = 127 / 256
    np.testing.assert_allclose(voices, [[full, 0], [0, full], [full, 0]], atol=0.01)


def test_who_is_alone_sounds_like_the_mixture_and_leakage_like_nobody() -> None:
    voices = heard(0.1, 1e-3, -0.1).voices[0] / VOICE_STEPS
    np.testing.assert_allclose(voices, [[127 / 256, 0], [0, 0], [127 / 256, 0]], atol=0.01)
