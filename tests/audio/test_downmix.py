import numpy as np
import pytest

from sepcli.audio.downmix import MAX_CHANNELS, Downmixer, downmix

RATE = 8000
SOUND = np.random.default_rng(1).uniform(-0.5, 0.5, 3000).astype(np.float32)
NOISE = np.random.default_rng(2).uniform(-0.5, 0.5, 3000).astype(np.float32)


def mixed(*channels: np.ndarray, step: int = 700) -> tuple[np.ndarray, bool]:
    signal = np.stack(channels, axis=1)
    mixer = Downmixer(signal.shape[1], RATE)
    blocks = [mixer.mix(signal[i : i + step]) for i in range(0, len(signal), step)]
    return np.concatenate(blocks), mixer.has_turned


def test_downmix_is_the_mean():
    block = np.array([[1, 0], [0.5, 0.25], [-1, 1], [1, 1]], np.float32)
    mono = downmix(block)
    assert mono.dtype == np.float32
    assert mono.tolist() == [0.5, 0.375, 0.0, 1.0]
    assert downmix(block[:, :1]).tolist() == [1, 0.5, -1, 1]
    assert downmix(block[:, 0]).tolist() == [1, 0.5, -1, 1]
    assert downmix(np.zeros((0, 3), np.float32)).shape == (0,)


def test_downmix_of_the_largest_values_is_finite():
    block = np.full((4, 64), 2.0**31, np.float32)
    assert downmix(block).tolist() == [2.0**31] * 4
    assert Downmixer(2, RATE).mix(block[:, :2]).tolist() == [2.0**31] * 4


@pytest.mark.parametrize("quieter", [1.0, 0.3])
def test_channels_opposite_in_phase_do_not_cancel(quieter):
    mono, has_turned = mixed(SOUND, -quieter * SOUND)
    assert has_turned
    assert np.allclose(mono, SOUND * (1 + quieter) / 2, atol=1e-7)


def test_one_of_three_that_is_opposite():
    mono, has_turned = mixed(0.5 * SOUND, -SOUND, 0.5 * SOUND)
    assert has_turned
    assert np.allclose(np.abs(mono), np.abs(SOUND) * 2 / 3, atol=1e-7)


@pytest.mark.parametrize(
    "other", [SOUND, NOISE, 0 * SOUND, SOUND + NOISE, NOISE - 0.4 * SOUND, np.roll(SOUND, 5)]
)
def test_usual_stereo_is_left_as_it_is(other):
    mono, has_turned = mixed(SOUND, other)
    assert not has_turned
    assert np.array_equal(mono, downmix(np.stack([SOUND, other], axis=1)))


def test_silence_at_the_beginning_decides_nothing():
    sound = np.concatenate([np.zeros(2000, np.float32), SOUND])
    mono, has_turned = mixed(sound, -sound)
    assert has_turned
    assert np.array_equal(mono, sound)


def low(seconds: float, hz: float, amplitude: float) -> np.ndarray:
    time = np.arange(len(SOUND)) / RATE
    return (amplitude * np.sin(2 * np.pi * hz * time) * (time < seconds)).astype(np.float32)


@pytest.mark.parametrize("level", [0.001, 0.1, 1.0])
@pytest.mark.parametrize(
    "other", [0.8 + 0 * SOUND, low(1.0, 50, 0.7), low(0.1, 5, 0.9), 3.0 * (np.arange(3000) == 99)],
    ids=["DC", "hum", "thump", "click"],
)  # fmt: skip
def test_speech_decides_whatever_else_is_opposite_or_alike(level, other):
    other = (level * other).astype(np.float32)
    sound = level * 0.1 * SOUND
    mono, has_turned = mixed(sound + other, sound - other)
    assert not has_turned
    assert np.allclose(mono, sound, atol=1e-6 * level)
    mono, has_turned = mixed(other + sound, other - sound)
    assert has_turned
    assert np.allclose(mono, sound, atol=1e-5 * level)


def test_one_channel_and_very_many_are_only_mixed():
    assert np.array_equal(mixed(-SOUND)[0], -SOUND)
    many = [SOUND, *[-SOUND] * MAX_CHANNELS]
    assert not mixed(*many)[1]
