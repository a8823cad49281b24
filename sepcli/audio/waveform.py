"""A waveform in memory, read like a file."""

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sepcli.audio.reader import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, AudioInfo, Sanitizer
from sepcli.errors import AudioError

Array = np.ndarray[Any, np.dtype[np.float32]]

BLOCK_SAMPLES = 1 << 16


class WaveformReader:
    """Blocks of a waveform.

    Args:
        waveform: `[samples]` or `[channels, samples]`.
        sample_rate: Its rate [Hz].

    Raises:
        AudioError: It is empty, has more than two dimensions, or more channels than samples, as
            a file read by soundfile would seem to have; or the rate is none.
    """

    def __init__(self, waveform: ArrayLike, sample_rate: float) -> None:
        samples = _samples(waveform)
        is_whole = samples.ndim == 1 or (samples.ndim == 2 and len(samples) <= samples.shape[1])
        if not is_whole or samples.size == 0:
            raise AudioError(
                f"not a waveform: shape {list(samples.shape)}",
                "give [samples] or [channels, samples]",
            )
        rate = _whole(sample_rate)
        if not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
            raise AudioError(f"not a sample rate: {sample_rate} Hz", "give that of the waveform")
        self._samples = samples[:, np.newaxis] if samples.ndim == 1 else samples.T
        self._sanitizer = Sanitizer()
        num_samples, num_channels = self._samples.shape
        self.info = AudioInfo(rate, num_channels, num_samples, "ARRAY", "FLOAT")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know about the samples, a line each; complete after reading."""
        return self._sanitizer.remarks

    def blocks(self) -> Iterator[Array]:
        """Yield `[samples, channels]`, with values that can be computed with; others are told."""
        for start in range(0, len(self._samples), BLOCK_SAMPLES):
            yield self._sanitizer.sanitized(self._samples[start : start + BLOCK_SAMPLES])

    def close(self) -> None:
        """Nothing is held."""


def _samples(waveform: Any) -> Array:
    """Return a waveform as an array; also where channels are a column of arrays, as in tables.

    Raises:
        AudioError: It holds something else than numbers, or rows of different lengths.
    """
    try:
        return np.asarray(waveform, np.float32)
    except (TypeError, ValueError):
        pass
    try:
        return np.stack([np.asarray(channel, np.float32) for channel in waveform])
    except (TypeError, ValueError) as cause:
        raise AudioError(
            f"not a waveform: {type(waveform).__name__}", "give [samples] or [channels, samples]"
        ) from cause


def _whole(sample_rate: Any) -> int:
    """Return a rate as a whole number, 0 where it is none; many libraries give it as a float."""
    if isinstance(sample_rate, float | np.floating) and float(sample_rate).is_integer():
        return int(sample_rate)
    try:
        return operator.index(sample_rate)
    except TypeError:
        return 0
