"""A waveform in memory, read like a file."""

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from sepcli.audio.reader import AudioInfo
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

    def __init__(self, waveform: Array, sample_rate: int) -> None:
        samples = np.asarray(waveform, dtype=np.float32)
        is_whole = samples.ndim == 1 or (samples.ndim == 2 and len(samples) <= samples.shape[1])
        if not is_whole or samples.size == 0:
            raise AudioError(
                f"not a waveform: shape {list(samples.shape)}",
                "give [samples] or [channels, samples]",
            )
        rate = _whole(sample_rate)
        if rate < 1:
            raise AudioError(f"not a sample rate: {sample_rate} Hz", "give that of the waveform")
        self._samples = samples[:, np.newaxis] if samples.ndim == 1 else samples.T
        self.warnings: tuple[str, ...] = ()
        num_samples, num_channels = self._samples.shape
        self.info = AudioInfo(None, rate, num_channels, num_samples, "ARRAY", "FLOAT")

    def blocks(self) -> Iterator[Array]:
        """Yield `[samples, channels]`; what is not finite becomes 0 and is told."""
        for start in range(0, len(self._samples), BLOCK_SAMPLES):
            block = self._samples[start : start + BLOCK_SAMPLES]
            if not np.isfinite(block).all():
                self.warnings = ("values that were not finite were set to 0",)
                block = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
            yield block

    def close(self) -> None:
        """Nothing is held."""


def _whole(sample_rate: Any) -> int:
    """Return a rate as a whole number, 0 where it is none; many libraries give it as a float."""
    if isinstance(sample_rate, float | np.floating) and float(sample_rate).is_integer():
        return int(sample_rate)
    try:
        return operator.index(sample_rate)
    except TypeError:
        return 0
