"""Dual-path networks: a long sequence cut into overlapping segments, and put together again."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers.linear import linear


def segment(sequence: Tensor, length: int, hop: int, before: int, after: int) -> Tensor:
    """Cut a sequence into overlapping segments, `[batch, segments, length, features]`.

    Args:
        sequence: `[batch, frames, features]`.
        length: Length of a segment [frames].
        hop: Distance of their starts [frames].
        before: Zeros put before the sequence [frames].
        after: Zeros put after it [frames]; see `half_overlap_padding`.

    Returns:
        A view that must not be written to: segments share their overlaps.
    """
    padded = F.pad(sequence, (0, 0, before, after))
    segments: Tensor = padded.unfold(1, length, hop).transpose(2, 3)
    return segments


def merge(segments: Tensor, hop: int, before: int, num_frames: int) -> Tensor:
    """Add segments up at their places, `[batch, num_frames, features]`; the inverse of `segment`.

    Where segments overlap they are summed, not averaged.

    Args:
        segments: `[batch, segments, length, features]`.
        hop: Distance of their starts [frames].
        before: Frames to drop at the start.
        num_frames: Frames to return.
    """
    batch, count, length, dim = segments.shape
    pieces = math.ceil(length / hop)
    if length % hop:
        segments = F.pad(segments, (0, 0, 0, pieces * hop - length))
    parts = segments.reshape(batch, count, pieces, hop, dim)  # a segment is `pieces` hops long
    total = segments.new_zeros(batch, count + pieces - 1, hop, dim)
    for piece in range(pieces):
        total[:, piece : piece + count] += parts[:, :, piece]
    return total.flatten(1, 2)[:, before : before + num_frames]


def merge_split(
    segments: Tensor, conv: nn.Module, hop: int, before: int, num_frames: int
) -> Tensor:
    """Return `merge(conv(segments), …)`, `[batch, num_frames, outputs]`, at half the cost or less.

    The published networks split features by speaker before they merge segments. Both are linear,
    and after merging there is less to split; the bias counts once for every segment over a frame.

    Args:
        segments: `[batch, segments, length, features]`.
        conv: A 1×1 convolution with bias.
        hop: See `merge`, as for the others.
        before: Frames to drop at the start.
        num_frames: Frames to return.
    """
    assert isinstance(conv, nn.Conv2d) and conv.bias is not None
    split = linear(merge(segments, hop, before, num_frames), conv.weight.flatten(1))
    counts = merge(torch.ones_like(segments[:1, ..., :1]), hop, before, num_frames)
    return torch.addcmul(split, counts, conv.bias)


def half_overlap_padding(num_frames: int, length: int) -> tuple[int, int]:
    """Return the zeros before and after so that segments of `length`, half overlapping, fit.

    This is the rule of the published dual-path code: half a segment at both ends, and a gap
    of 1 to `length` frames, so a whole extra segment where none would be needed.
    """
    hop = length // 2
    gap = length - (hop + num_frames % length) % length
    return hop, gap + hop
