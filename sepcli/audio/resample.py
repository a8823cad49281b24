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


def resample_blocks(
    blocks: Iterable[Samples],
    in_rate: int,
    out_rate: int,
    num_channels: int = 1,
    num_out_samples: int | None = None,
) -> Iterator[Samples]:
    """Yield a recording's blocks at another rate; memory stays bounded at any ratio.

    Together they have exactly `num_out_samples` samples, or else `resampled_length` of what went
    in, whatever the sizes of the blocks. Output sample `k` stands at the same time as input time
    `k / out_rate`: the filter's delay is taken out.

    Args:
        blocks: `[samples]` or `[samples, channels]` each.
        in_rate: Their rate, in Hz.
        out_rate: Rate of what is yielded, in Hz.
        num_channels: Channels of every block.
        num_out_samples: Cut the output to this many samples; used on the way back to the
            original rate. None: `resampled_length` of the input.

    Raises:
        ValueError: A rate is not positive, or there are too few samples for `num_out_samples`.
    """
    if in_rate < 1 or out_rate < 1:
        raise ValueError(f"rates must be positive: {in_rate}, {out_rate}")
    stream = None
    if in_rate != out_rate:
        stream = soxr.ResampleStream(in_rate, out_rate, num_channels, "float32", QUALITY)
    # 1 Hz to 48 kHz turns a block of 65 536 samples into 12 GB: cut what goes in
    step = max(1, MAX_BLOCK_VALUES * in_rate // (out_rate * num_channels))
    num_in = num_out = 0
    piece = np.zeros(0, np.float32)
    for block in blocks:
        for start in range(0, len(block), step):
            piece = block[start : start + step]
            num_in += len(piece)
            if stream is not None:
                piece = stream.resample_chunk(np.ascontiguousarray(piece, dtype=np.float32))
            if num_out_samples is not None:
                piece = piece[: num_out_samples - num_out]
            num_out += len(piece)
            if len(piece):
                yield piece
    available = resampled_length(num_in, in_rate, out_rate)
    missing = (available if num_out_samples is None else num_out_samples) - num_out
    if num_out + missing > available:
        raise ValueError(f"{available} samples cannot give {num_out_samples}")
    if stream is not None and missing:  # soxr rounds the length: silence is added until it suffices
        zeros = np.zeros((-(-in_rate // out_rate) + 1, *piece.shape[1:]), np.float32)
        tail = stream.resample_chunk(zeros, last=True)
        if len(tail) < missing:
            raise AssertionError(f"soxr gave too little for {num_out + missing} samples")
        yield tail[:missing]


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
