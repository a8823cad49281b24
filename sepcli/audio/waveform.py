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
        AudioError: It is no array of numbers, has masked values, is empty, has more than two
            dimensions, or more channels than samples, as a file read by soundfile would seem to
            have; or the rate is none.
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
        AudioError: It holds something else than real numbers, values that are masked, or rows of
            different lengths.
    """
    kind, hint = type(waveform).__name__, "give [samples] or [channels, samples]"
    if np.ma.is_masked(waveform):
        raise AudioError(f"not a waveform: {kind} with masked values", "give waveform.filled(0)")
    if isinstance(waveform, bytes | bytearray) or _is_view_of_bytes(waveform):
        raise AudioError(f"not a waveform: {kind}", "give numbers, as np.frombuffer reads them")
    try:
        array = np.asarray(waveform)
        if array.dtype == object:  # of arrays, or of numbers that may have a kind in common
            array = np.array(array.tolist())
        if array.dtype == object and not any(isinstance(each, str | bytes) for each in array.flat):
            array = array.astype(np.float32)
    except (TypeError, ValueError, OverflowError) as cause:
        raise AudioError(f"not a waveform: {kind}", hint) from cause
    # not of numpy, but as good as its floats: bfloat16 of JAX
    if array.dtype.kind not in "biuf" and not np.can_cast(array.dtype, np.float32):
        kind += f" of {array.dtype}" if isinstance(waveform, np.ndarray) else ""
        raise AudioError(f"not a waveform: {kind}", hint)
    return array.astype(np.float32, copy=False)


def _is_view_of_bytes(waveform: Any) -> bool:
    return isinstance(waveform, memoryview) and waveform.format == "B"


def _whole(sample_rate: Any) -> int:
    """Return a rate as a whole number, 0 where it is none; many libraries give it as a float."""
    if isinstance(sample_rate, float | np.floating) and float(sample_rate).is_integer():
        return int(sample_rate)
    try:
        return operator.index(sample_rate)
    except TypeError:
        return 0
