"""Loudness of speech as ITU-R BS.1770-4 measures it, in LUFS.

A signal is weighted as the ear weighs it: a shelf that lifts what lies above 1.7 kHz, and a high
pass at 38 Hz. Blocks of 0.4 s count, where they are neither silent nor 10 dB below the rest, so
that pauses do not make a speaker quieter than they are.
"""

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

Waveform = npt.NDArray[np.float32]
Coefficients = npt.NDArray[np.float64]

BLOCK_SECONDS = 0.4
BLOCKS_A_STEP = 4  # blocks overlap by three quarters
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_DB = -10.0
OFFSET_DB = -0.691  # makes 0 dBFS at 997 Hz -3.01 LUFS

# The two filters as analogue prototypes: corner frequency [Hz], quality, gain [dB].
SHELF = (1681.974450955533, 0.7071752369554196, 3.999843853973347)
HIGH_PASS = (38.13547087602444, 0.5003270373238773)


def loudness(waveform: Waveform, sample_rate: int) -> float:
    """Return the integrated loudness [LUFS] of `[samples]`; -inf for silence.

    Signals shorter than a block are measured as one block.
    """
    weighted = waveform.astype(np.float64)
    for numerator, denominator in (_shelf(sample_rate), _high_pass(sample_rate)):
        weighted = lfilter(numerator, denominator, weighted)
    power = _block_power(weighted, round(BLOCK_SECONDS * sample_rate))
    power = power[_lufs(power) > ABSOLUTE_GATE_LUFS]
    if not len(power):
        return -np.inf
    gate = _lufs(power.mean()) + RELATIVE_GATE_DB
    return float(_lufs(power[_lufs(power) > gate].mean()))


def gain_to(waveform: Waveform, sample_rate: int, target_lufs: float) -> float:
    """Return the factor that brings `[samples]` to a loudness; 1 for silence."""
    measured = loudness(waveform, sample_rate)
    return 10 ** ((target_lufs - measured) / 20) if np.isfinite(measured) else 1.0


def _block_power(weighted: npt.NDArray[np.float64], length: int) -> npt.NDArray[np.float64]:
    """Return the mean power of overlapping blocks, or of the whole where it is shorter."""
    if len(weighted) < length:
        return np.square(weighted).mean(keepdims=True) if len(weighted) else np.zeros(1)
    total = np.concatenate([[0.0], np.square(weighted).cumsum()])
    starts = np.arange(0, len(weighted) - length + 1, length // BLOCKS_A_STEP)
    power: npt.NDArray[np.float64] = (total[starts + length] - total[starts]) / length
    return np.maximum(power, 0.0)


def _lufs(power: npt.ArrayLike) -> npt.NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        level: npt.NDArray[np.float64] = OFFSET_DB + 10 * np.log10(power)
    return level


def _shelf(sample_rate: int) -> tuple[Coefficients, Coefficients]:
    """Return numerator and denominator of the high shelf, by the bilinear transform."""
    corner, quality, gain_db = SHELF
    k = np.tan(np.pi * min(corner / sample_rate, 0.49))
    high = 10 ** (gain_db / 20)
    middle = high**0.4996667741545416
    norm = 1 + k / quality + k * k
    numerator = [high + middle * k / quality + k * k, 2 * (k * k - high)]
    numerator.append(high - middle * k / quality + k * k)
    return np.array(numerator) / norm, _denominator(k, quality)


def _high_pass(sample_rate: int) -> tuple[Coefficients, Coefficients]:
    """Return numerator and denominator of the high pass."""
    corner, quality = HIGH_PASS
    # The standard gives this filter a gain of one at its numerator, whatever the rate.
    return np.array([1.0, -2.0, 1.0]), _denominator(np.tan(np.pi * corner / sample_rate), quality)


def _denominator(k: float, quality: float) -> Coefficients:
    norm = 1 + k / quality + k * k
    return np.array([1.0, 2 * (k * k - 1) / norm, (1 - k / quality + k * k) / norm])
