import numpy as np
import pytest

from sepcli.separation.speakers.evidence import (
    ACTIVE_RATIO,
    MOST_VOICE_SECONDS,
    VOICE_RATIO,
    agreement,
    dominant,
    frame_power,
    voiced_frames,
    voices,
)

FRAME = 20
RATE = 1000  # Hz


def noise(num_speakers, num_samples=1000, seed=0):
    return np.random.default_rng(seed).standard_normal((num_speakers, num_samples), np.float32)


def agree(before, after, floor=0.0):
    return agreement(before, after, FRAME, RATE / FRAME, floor)


def test_frame_power_is_the_mean_square_of_whole_frames():
    samples = np.repeat(np.array([[1.0, 2.0, 9.0]], np.float32), FRAME, axis=1)[:, :-1]
    np.testing.assert_allclose(frame_power(samples, FRAME), [[1.0, 4.0]])


def test_dominant_is_who_is_strong_enough():
    power = np.array([[8.0, 1.0, 1.0, 0.0], [1.0, 1.5, 0.1, 0.0]], np.float32)
    np.testing.assert_array_equal(
        dominant(power, VOICE_RATIO), [[True, False, True, False], [False] * 4]
    )
    np.testing.assert_array_equal(
        dominant(power, ACTIVE_RATIO), [[True, True, True, False], [False, True, False, False]]
    )
    assert not dominant(power, ACTIVE_RATIO, floor=10.0).any()


def test_what_is_far_below_the_loudest_frame_is_no_speech():
    power = np.array([[1.0, 1e-4], [0.0, 0.0]], np.float32)
    np.testing.assert_array_equal(dominant(power, VOICE_RATIO)[0], [True, False])


@pytest.mark.parametrize("shape", [(1, 3), (2, 0)])
def test_dominant_takes_one_output_and_no_frames(shape):
    assert dominant(np.ones(shape, np.float32), VOICE_RATIO).all()


def test_short_bursts_are_no_voice():
    power = np.zeros((2, 40), np.float32)
    power[0], power[1, 20] = 1.0, 3.0  # one frame of somebody else
    mask = voiced_frames(power)
    assert not mask[1].any()
    assert mask[0, :17].all() and mask[0, 24:].all()


def test_outputs_agree_with_themselves():
    both = noise(2)
    np.testing.assert_allclose(np.diag(agree(both, both)), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.diag(agree(both, both[::-1])), 0.0, atol=1e-6)


def test_leakage_has_no_vote():
    (voice,) = noise(1)
    leaking = np.stack([voice, 0.2 * voice])
    result = agree(leaking, leaking[::-1])
    assert result[0, 1] == pytest.approx(1.0, abs=1e-6)
    # The copy explains little, since its level is off, and is not asked the other way round.
    assert result[0, 0] == pytest.approx((1 - 0.8**2) / 2, abs=1e-6)
    assert result[1, 0] == 0.0  # the copies agree perfectly, but nobody asks them


def test_a_pause_tells_nothing():
    quiet = 1e-3 * noise(2)
    assert not agree(quiet, quiet, floor=1e-3).any()
    assert not agree(0 * quiet, 0 * quiet).any()


def test_a_moment_tells_nothing_and_half_a_second_everything():
    both = noise(2)
    for seconds, expected in ((0.08, 0.0), (0.24, 0.48), (0.8, 1.0)):
        part = both[:, : round(seconds * RATE)]
        assert agree(part, part)[0, 0] == pytest.approx(expected, abs=0.02)


def test_only_who_dominates_is_embedded_and_trust_grows_with_time():
    samples = np.arange(4000, dtype=np.float32)[np.newaxis].repeat(3, axis=0)
    mask = np.zeros((3, 200), np.bool_)
    mask[0, 50:200] = mask[1, 0:75] = mask[2, 0:5] = True
    heard = []

    def embed(voice, sample_rate):
        heard.append((voice[0], len(voice), sample_rate))
        return np.array([1.0, 0.0], np.float32)

    found, trust = voices(samples, mask, FRAME, RATE, embed)
    assert heard == [(1000.0, MOST_VOICE_SECONDS * RATE, RATE), (0.0, 1500, RATE)]
    np.testing.assert_allclose(trust, [1.0, 0.5, 0.0])
    np.testing.assert_array_equal(found, [[1, 0], [1, 0], [0, 0]])


def test_of_a_long_chunk_the_first_seconds_of_a_voice_are_listened_to():
    samples = np.arange(10_000, dtype=np.float32)[np.newaxis]
    mask = np.ones((1, 500), np.bool_)
    mask[0, :100] = False
    heard = []

    def embed(voice, sample_rate):
        heard.append((voice[0], voice[-1]))
        return np.array([1.0, 0.0], np.float32)

    _, trust = voices(samples, mask, FRAME, RATE, embed)
    assert heard == [(2000.0, 2000.0 + MOST_VOICE_SECONDS * RATE - 1)]
    assert trust[0] == 1.0
