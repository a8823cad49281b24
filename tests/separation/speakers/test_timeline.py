import tracemalloc

import numpy as np
import pytest

from sepcli.separation.scratch import Spool
from sepcli.separation.speakers import timeline
from sepcli.separation.speakers.embedding import builtin
from sepcli.separation.speakers.timeline import VOICE_STEPS, Timeline, TimelineBuilder

RATE = 8000


def embed(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return whether the samples are positive or negative, as a voice."""
    return np.array([1.0, 0.0] if samples.mean() > 0 else [0.0, 1.0], np.float32)


class Neighbours:
    """Embeds a window by the signal and by how much is heard together with it."""

    __call__ = staticmethod(embed)

    def sliding(self, samples: np.ndarray, rate: int, window: int, hop: int) -> np.ndarray:
        """Return, for each window, how long the whole is [minutes]."""
        count = (len(samples) - window) // hop + 1
        return np.tile(np.float32([len(samples) / (60 * rate), 0.1]), (count, 1))


def test_blocks_of_any_length_are_heard_alike() -> None:
    random = np.random.default_rng(0)
    signals = (0.1 * random.standard_normal((3, 25 * RATE + 123)) + 0.05).astype(np.float32)
    found = []
    for size in (len(signals[0]), 9 * RATE, 1000, 77):
        builder = TimelineBuilder(2, RATE, Neighbours(), Spool(2).voices)
        for start in range(0, signals.shape[1], size):
            block = signals[:, start : start + size]
            builder.add(block[0], block[1:])
        found.append(builder.finish())
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].levels, other.levels)
        np.testing.assert_array_equal(found[0].voices[:], other.voices[:])
    assert found[0].num_frames == 2502
    assert found[0].starts.tolist() == list(range(0, 2450, 50))


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050])
def test_frames_are_of_10_ms_at_any_rate(rate: int) -> None:
    builder = TimelineBuilder(1, rate, embed, Spool(1).voices)
    for second in range(60):  # a second of sound, one of silence
        level = 0.1 * (second % 2)
        samples = np.full(rate, level, np.float32)
        builder.add(samples, samples[np.newaxis])
    timeline = builder.finish()
    assert timeline.num_frames == 6000
    sounds = timeline.levels[0].reshape(60, 100) > 0
    np.testing.assert_array_equal(sounds, np.arange(60)[:, np.newaxis] % 2 * np.ones(100, bool))
    assert timeline.starts.tolist() == pytest.approx(range(0, 5950, 50), abs=1)


def test_windows_together_are_heard_like_each_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    gains = random.choice([0.0, 0.001, 0.1, 0.2], (2, 24)).repeat(RATE, axis=1)
    gains[:, 8 * RATE : 12 * RATE] = 0.0  # nobody speaks
    outputs = (gains * random.standard_normal(gains.shape)).astype(np.float32)
    found = []
    for together in (16, 1):
        monkeypatch.setattr(timeline, "TOGETHER", together)
        builder = TimelineBuilder(2, RATE, builtin.load_embed(), Spool(2).voices)
        builder.add(outputs.sum(axis=0), outputs)
        found.append(builder.finish())
    assert found[0].starts.tolist() == found[1].starts.tolist() == list(range(0, 2350, 50))
    voices = [each.voices[:] / VOICE_STEPS for each in found]  # [windows, 1 + outputs, dims]
    silent = ~voices[0].any(axis=2)
    assert np.array_equal(silent, ~voices[1].any(axis=2))
    assert silent[16:22].all()
    assert 0 < silent[:16, 1:].sum() < silent[:16, 1:].size
    likeness = (voices[0] * voices[1]).sum(axis=2)[~silent]
    assert np.median(likeness) > 0.9


def heard(mixture: float, *outputs: float) -> Timeline:
    """Return what is heard of signals that stand still."""
    builder = TimelineBuilder(len(outputs), RATE, embed, Spool(2).voices)
    ones = np.ones(2 * RATE, np.float32)
    builder.add(mixture * ones, np.stack([each * ones for each in outputs]))
    return builder.finish()


def test_levels_and_voices_are_those_of_the_signals() -> None:
    timeline = heard(0.1, -0.1, 0.05)
    assert timeline.decibels(7, 8)[:, 0] == pytest.approx([-20.0, -20.0, -26.0], abs=0.25)
    voices = timeline.voices[:][0] / VOICE_STEPS
    full = 127 / 256
    np.testing.assert_allclose(voices, [[full, 0], [0, full], [full, 0]], atol=0.01)


def test_who_is_alone_sounds_like_the_mixture_and_leakage_like_nobody() -> None:
    voices = heard(0.1, 1e-3, -0.1).voices[:][0] / VOICE_STEPS
    np.testing.assert_allclose(voices, [[127 / 256, 0], [0, 0], [127 / 256, 0]], atol=0.01)


def test_windows_of_silence_have_a_place_wherever_they_are() -> None:
    builder = TimelineBuilder(1, RATE, embed, Spool(1).voices)
    for level in (0.0, 0.1, 0.0, -0.1, 0.0):
        samples = np.full(4 * RATE, level, np.float32)
        builder.add(samples, samples[np.newaxis])
    voices = builder.finish().voices
    assert voices.shape == (39, 2, 2)
    heard = voices[:].any(axis=2)
    np.testing.assert_array_equal(heard[:, 0], heard[:, 1])
    # from the window that ends in the first sound, at 4 s, to that which begins in it, before 8 s
    sounds = [*range(6, 16), *range(22, 32)]
    assert np.flatnonzero(heard[:, 0]).tolist() == sounds
    np.testing.assert_array_equal(voices[5:9], voices[:][5:9])
    assert [voices[:][k, 0].argmax() for k in (6, 31)] == [0, 1]


def test_of_a_window_only_its_levels_stay_in_memory() -> None:
    voice, store = np.full(192, 0.07, np.float32), Spool(2).voices
    store.append(np.zeros(1 << 22, np.int8))  # so that it is on the disk
    store.truncate(0)
    builder = TimelineBuilder(2, 1000, lambda samples, rate: voice, store)
    block = np.full(10_000, 0.1, np.float32)
    held = []
    tracemalloc.start()
    for _ in range(2):
        for _ in range(64):  # 40 times as many windows as are listened to at once
            builder.add(block, np.stack([block, block]))
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    levels_and_starts = 640 * (3 * 100 + 2 * 8)
    assert held[1] - held[0] < 1.3 * levels_and_starts  # what grows keeps an eighth in hand
    assert builder.finish().voices[2000:2001].any()
