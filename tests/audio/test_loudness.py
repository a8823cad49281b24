import math

import numpy as np
import pytest

from sepcli.audio.loudness import gain_to, loudness


def sine(frequency: float, seconds: float, rate: int, amplitude: float = 1.0) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_a_full_scale_sine_has_the_loudness_of_the_standard(rate: int) -> None:
    # BS.1770-4: 997 Hz at 0 dBFS in one channel reads -3.01 LUFS; at low rates the bilinear
    # transform bends the shelf by less than 0.1 dB there
    assert loudness(sine(997, 5, rate), rate) == pytest.approx(-3.01, abs=0.1)


def test_the_filters_have_the_coefficients_of_the_standard() -> None:
    from sepcli.audio import loudness as module

    numerator, denominator = module._shelf(48000)
    np.testing.assert_allclose(numerator, [1.53512485958697, -2.69169618940638, 1.19839281085285])
    np.testing.assert_allclose(denominator, [1.0, -1.69065929318241, 0.73248077421585])
    numerator, denominator = module._high_pass(48000)
    np.testing.assert_allclose(numerator, [1.0, -2.0, 1.0])
    np.testing.assert_allclose(denominator, [1.0, -1.99004745483398, 0.99007225036621])


def test_level_and_loudness_go_together() -> None:
    signal = sine(440, 3, 16000, 0.1)
    quieter = loudness(signal / 10, 16000)
    assert loudness(signal, 16000) - quieter == pytest.approx(20, abs=1e-3)
    assert loudness(signal * gain_to(signal, 16000, -30.0), 16000) == pytest.approx(-30, abs=1e-3)


def test_pauses_do_not_make_speech_quieter() -> None:
    tone, pause = sine(440, 4, 16000), np.zeros(4 * 16000, np.float32)
    together = loudness(np.concatenate([tone, pause]), 16000)
    # blocks across the edge count with part of their power: four of about forty
    assert together == pytest.approx(loudness(tone, 16000), abs=0.5)


def test_silence_has_no_loudness_and_keeps_its_level() -> None:
    silence = np.zeros(8000, np.float32)
    assert loudness(silence, 8000) == -math.inf
    assert gain_to(silence, 8000, -20.0) == 1.0
    assert loudness(silence[:0], 8000) == -math.inf


def test_what_is_shorter_than_a_block_is_measured_whole() -> None:
    assert loudness(sine(997, 0.2, 16000), 16000) == pytest.approx(-3.01, abs=0.3)
