import math

import pytest
import torch
from torch import Tensor, nn

from sepcli.networks import layers
from sepcli.networks.layers import transformer


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


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


@pytest.mark.parametrize("score_bytes", [1, 2**20])
@pytest.mark.parametrize(("short", "narrow"), [(9, 16), (9, 4), (8, 16), (9, 3)])
def test_products_attend_as_the_fused_kernel(
    score_bytes: int, short: int, narrow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformer, "SCORE_BYTES", score_bytes)
    for cores in ("SHORT", "SHORT_ALONE"):
        monkeypatch.setattr(transformer, cores, short)  # the last two settings are the fused kernel
    monkeypatch.setattr(transformer, "NARROW", narrow)
    query, key, value = randn(3, 5, 2, 4, 9).transpose(-1, -2)  # features first in memory
    expected = nn.functional.scaled_dot_product_attention(query, key, value)
    with torch.no_grad():
        assert torch.allclose(transformer.attend(query, key, value), expected, atol=1e-6)


@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer_layer_is_that_of_torch(norm_first: bool) -> None:
    theirs = nn.TransformerEncoderLayer(
        8, 2, 20, dropout=0.0, layer_norm_eps=1e-6, batch_first=True, norm_first=norm_first
    )
    ours = transformer.TransformerLayer(8, 2, 20, norm_first=norm_first)
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
    monkeypatch.setattr(transformer, "BLOCK_FRAMES", 14)
    with torch.no_grad():
        in_blocks = stack(sequences)
    assert in_blocks.stride() == sequences.stride()  # laid out as what came in
    assert torch.allclose(in_blocks, at_once, atol=1e-5)


def test_positions_go_on_beyond_the_table() -> None:
    short, long = layers.Positions(10, 6), layers.Positions(30, 6)
    assert torch.equal(short(25), long(25))
    assert short(3).shape == (3, 6)
    angle = 24 / 10000 ** (2 / 6)
    expected = torch.tensor([math.sin(angle), math.cos(angle)])
    # angles are in single precision
    assert torch.allclose(short(25)[24, 2:4], expected, atol=1e-5)
