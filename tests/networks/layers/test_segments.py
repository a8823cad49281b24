import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks import layers


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(
    frames=st.integers(1, 60),
    length=st.integers(1, 20),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_merge_undoes_segment(frames: int, length: int, data: st.DataObject) -> None:
    hop = data.draw(st.integers(1, length))
    before = data.draw(st.integers(0, length))
    count = max(1, math.ceil((before + frames - length) / hop) + 1)
    after = (count - 1) * hop + length - before - frames
    sequence = randn(2, frames, 3)
    segments = layers.segment(sequence, length, hop, before, after)
    assert segments.shape == (2, count, length, 3)
    ones = layers.segment(torch.ones_like(sequence), length, hop, before, after)
    covered = layers.merge(ones, hop, before, frames)
    assert covered.min() >= 1
    merged = layers.merge(segments, hop, before, frames)
    assert torch.allclose(merged, sequence * covered, atol=1e-5)


@given(frames=st.integers(1, 900), length=st.integers(1, 60).map(lambda half: 2 * half))
@settings(max_examples=60, deadline=None)
def test_half_overlap_covers_every_frame_twice(frames: int, length: int) -> None:
    before, after = layers.half_overlap_padding(frames, length)
    assert before == length // 2
    assert (before + frames + after - length) % (length // 2) == 0
    assert 1 <= after - before <= length
    segments = layers.segment(torch.ones(1, frames, 1), length, length // 2, before, after)
    assert segments.shape[1] % 2 == 0
    assert layers.merge(segments, length // 2, before, frames).eq(2).all()


def test_split_after_merging_is_split_before() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 9, 1)
    segments = torch.randn(2, 8, 5, 6)
    split = F.linear(segments, conv.weight.flatten(1), conv.bias)
    expected = layers.merge(split, 2, 3, 14)
    assert torch.allclose(layers.merge_split(segments, conv, 2, 3, 14), expected, atol=1e-5)
