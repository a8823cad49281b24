import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli import layers


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("activation", ["none", "relu", "silu", "tanh", "sigmoid"])
def test_fused_linear_is_linear(activation: str) -> None:
    weight, bias = randn(5, 7, seed=1), randn(5, seed=2)
    features = randn(2, 6, 9, seed=3)[..., 1:8]  # not contiguous
    expected = {"none": lambda x: x, **layers._ACTIVATIONS}[activation](
        F.linear(features.double(), weight.double(), bias.double())
    )
    with torch.no_grad():
        fused = layers.linear(features, weight, bias, activation=activation)
    with torch.enable_grad():
        plain = layers.linear(features, weight, bias, activation=activation)
    # single precision against double
    assert torch.allclose(fused.double(), expected, atol=3e-6)
    assert torch.allclose(plain.double(), expected, atol=3e-6)


def test_fused_linear_adds_the_residual_and_leaves_it_alone() -> None:
    features, weight, residual = randn(3, 4, 6), randn(8, 6, seed=1), randn(3, 4, 8, seed=2)
    before = residual.clone()
    with torch.no_grad():
        result = layers.linear(features, weight, residual=residual)
    assert torch.equal(residual, before)
    assert torch.allclose(result, features @ weight.T + residual, atol=1e-5)


def test_linear_takes_no_rows_and_other_precisions() -> None:
    weight = randn(5, 7)
    with torch.no_grad():
        assert layers.linear(torch.zeros(0, 7), weight).shape == (0, 5)
        assert layers.linear(randn(3, 7).double(), weight.double()).dtype == torch.float64


def test_linear_is_differentiable() -> None:
    weight = randn(5, 7).requires_grad_()
    layers.linear(randn(3, 7), weight, residual=torch.zeros(3, 5)).sum().backward()
    assert weight.grad is not None and weight.grad.abs().sum() > 0


def test_attention_is_that_of_torch() -> None:
    theirs = nn.MultiheadAttention(12, 3, batch_first=True)
    nn.init.normal_(theirs.in_proj_bias)
    ours = layers.SelfAttention(12, 3)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    features = randn(4, 9, 12)
    with torch.no_grad():
        expected = theirs(features, features, features)[0]
        assert torch.allclose(ours(features), expected, atol=1e-6)
        assert torch.allclose(ours(features, residual=features), expected + features, atol=1e-6)


@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer_layer_is_that_of_torch(norm_first: bool) -> None:
    theirs = nn.TransformerEncoderLayer(
        8, 2, 20, dropout=0.0, layer_norm_eps=1e-6, batch_first=True, norm_first=norm_first
    )
    ours = layers.TransformerLayer(8, 2, 20, norm_first=norm_first)
    names = {"self_attn": "self_att.att", "linear1": "pos_ffn.ffn.0", "linear2": "pos_ffn.ffn.3"}
    names |= {"norm1": "norm1.norm", "norm2": "norm2.norm"}
    state = {}
    for key, value in theirs.state_dict().items():
        first, rest = key.split(".", 1)
        state[f"{names[first]}.{rest}"] = value
    ours.load_state_dict(state, strict=True)
    features = randn(3, 11, 8)
    with torch.no_grad():
        assert torch.allclose(ours(features), theirs.train()(features), atol=1e-5)


def test_stack_in_blocks_is_the_stack_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = layers.Transformer(2, 8, 2, 16, position_rows=20)
    sequences = randn(5, 7, 9, 8).transpose(1, 2)[0]  # a strided view
    at_once = stack(sequences).detach()
    monkeypatch.setattr(layers, "BLOCK_FRAMES", 14)
    with torch.no_grad():
        in_blocks = stack(sequences)
    assert in_blocks.is_contiguous()
    assert torch.allclose(in_blocks, at_once, atol=1e-5)


def test_positions_go_on_beyond_the_table() -> None:
    short, long = layers.Positions(10, 6), layers.Positions(30, 6)
    assert torch.equal(short(25), long(25))
    assert short(3).shape == (3, 6)
    angle = 24 / 10000 ** (2 / 6)
    expected = torch.tensor([math.sin(angle), math.cos(angle)])
    # angles are in single precision
    assert torch.allclose(short(25)[24, 2:4], expected, atol=1e-5)


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


def test_global_norm_is_group_norm_of_one_group() -> None:
    features = randn(2, 4, 5, 6) + 3
    weight, bias = randn(6, seed=1), randn(6, seed=2)
    expected = F.group_norm(features.permute(0, 3, 1, 2), 1, weight, bias, 1e-8)
    expected = expected.permute(0, 2, 3, 1)
    ours = layers.global_norm(features, weight, bias, 1e-8)
    assert torch.allclose(ours, expected, atol=1e-5)
    ours = layers.global_norm(features, weight, bias, 1e-8, residual=features)
    assert torch.allclose(ours, expected + features, atol=1e-5)


def test_cumulative_norm_sees_no_later_frame() -> None:
    features, weight, bias = randn(2, 7, 4), randn(4, seed=1), randn(4, seed=2)
    whole = layers.cumulative_norm(features, weight, bias, 1e-8)
    for time in range(1, 8):
        part = layers.global_norm(features[:, :time], weight, bias, 1e-8)
        assert torch.allclose(whole[:, time - 1], part[:, -1], atol=1e-4)
