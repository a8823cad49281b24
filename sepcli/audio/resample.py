"""Change of sample rate, streamed, without delay and with a length that is known beforehand.

Lengths. With `n` samples at rate `a`, the last one stands at time `(n - 1) / a`. At rate `b` we
give `ceil(n * b / a)` samples: every sample time before `n / a`. It is never 0 for `n >= 1`, and
going there and back gives `ceil(ceil(n * b / a) * a / b) >= n`, so that a round trip is cut to
the original length and never padded with invented samples.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import soxr

Samples = npt.NDArray[np.float32]

QUALITY = "HQ"  # 20-bit precision, pass band to 0.91 of the lower Nyquist frequency
# per piece of output in `resample_blocks`, 16 MiB of float32; soxr's filters hold back up to some
# 1000 samples of input besides, whose output comes at once
MAX_BLOCK_VALUES = 1 << 22


def resampled_length(num_samples: int, in_rate: int, out_rate: int) -> int:
    """Return how many samples `num_samples` at `in_rate` become at `out_rate`."""
    return -(-num_samples * out_rate // in_rate)


class Resampler:
    """A streamed change of sample rate for one recording.

    The sum of what `push` returns has exactly `num_out_samples` samples, or else
    `resampled_length` of what went in, whatever the sizes of the blocks. Output sample `k` stands
    at the same time as input time `k / out_rate`: the filter's delay is taken out.

    Args:
        in_rate: Rate of the blocks pushed, in Hz.
        out_rate: Rate of the blocks returned, in Hz.
        num_channels: Channels of every block.
        num_out_samples: Cut the output to this many samples; used on the way back to the
            original rate. None: `resampled_length` of the input.
    """

    def __init__(
        self,
        in_rate: int,
        out_rate: int,
        num_channels: int = 1,
        num_out_samples: int | None = None,
    ) -> None:
        if in_rate < 1 or out_rate < 1:
            raise ValueError(f"rates must be positive: {in_rate}, {out_rate}")
        self._in_rate = in_rate
        self._out_rate = out_rate
        self._num_out_samples = num_out_samples
        self._pushed = 0
        self._returned = 0
        self._finished = False
        self._stream: soxr.ResampleStream | None = None
        if in_rate != out_rate:
            self._stream = soxr.ResampleStream(
                in_rate, out_rate, num_channels, dtype="float32", quality=QUALITY
            )

    def push(self, block: Samples, last: bool = False) -> Samples:
        """Return what the input up to and including `block` newly determines.

        Args:
            block: `[samples]` or `[samples, channels]`, possibly empty.
            last: Whether this is the end of the recording; exactly one block must say so.

        Returns:
            As many dimensions as `block`.

        Raises:
            ValueError: A block after the last, or too few samples for `num_out_samples`.
        """
        if self._finished:
            raise ValueError("push after the last block")
        self._finished = last
        self._pushed += len(block)
        if self._stream is None:
            resampled = block
        else:
            contiguous = np.ascontiguousarray(block, dtype=np.float32)
            resampled = self._stream.resample_chunk(contiguous, last=False)
            if last:  # soxr rounds the length, so silence is appended until it suffices
                num_zeros = -(-self._in_rate // self._out_rate) + 1
                zeros = np.zeros((num_zeros, *block.shape[1:]), np.float32)
                tail = self._stream.resample_chunk(zeros, last=True)
                resampled = np.concatenate([resampled, tail])
        return self._cut(resampled, last)

    def _cut(self, resampled: Samples, last: bool) -> Samples:
        """Return `resampled` without what goes past the end."""
        limit = self._num_out_samples
        if last:
            available = resampled_length(self._pushed, self._in_rate, self._out_rate)
            limit = available if limit is None else limit
            if limit > available:
                raise ValueError(f"{available} samples cannot give {limit}")
            if self._returned + len(resampled) < limit:
                raise AssertionError(f"soxr gave too little for {limit} samples")
        if limit is not None:
            resampled = resampled[: limit - self._returned]
        self._returned += len(resampled)
        return resampled


def resample_blocks(
    blocks: Iterable[Samples],
    in_rate: int,
    out_rate: int,
    num_channels: int = 1,
    num_out_samples: int | None = None,
) -> Iterator[Samples]:
    """Yield a recording's blocks at another rate; memory stays bounded at any ratio.

    Args:
        blocks: `[samples]` or `[samples, channels]` each.
        in_rate: Their rate, in Hz.
        out_rate: Rate of what is yielded, in Hz.
        num_channels: Channels of every block.
        num_out_samples: As for `Resampler`.
    """
    resampler = Resampler(in_rate, out_rate, num_channels, num_out_samples)
    # 1 Hz to 48 kHz turns a block of 65 536 samples into 12 GB: cut what goes in
    step = max(1, MAX_BLOCK_VALUES * in_rate // (out_rate * num_channels))
    held: Samples | None = None
    for block in blocks:
        for start in range(0, len(block), step):
            if held is not None:
                resampled = resampler.push(held)
                if len(resampled):
                    yield resampled
            held = block[start : start + step]
    if held is not None:
        resampled = resampler.push(held, last=True)
        if len(resampled):
            yield resampled


def resample_signals(
    blocks: Iterable[Samples],
    in_rate: int,
    out_rate: int,
    num_signals: int,
    num_out_samples: int | None = None,
) -> Iterator[Samples]:
    """Yield what `resample_blocks` does of blocks `[signals, samples]`, in that shape."""
    if in_rate == out_rate:
        yield from blocks
        return
    turned = (np.ascontiguousarray(block.T) for block in blocks)
    for block in resample_blocks(turned, in_rate, out_rate, num_signals, num_out_samples):
        yield block.T
