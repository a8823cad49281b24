import torch
from torch import nn

from sepcli.networks.layers import CrossAttention, Rotary, RotaryAttention


def test_products_depend_on_distance_only() -> None:
    turned = Rotary(8)(torch.randn(1, 8).expand(40, 8))
    products = (turned @ turned.T).diagonal(5)
    assert torch.allclose(products, products[:1].expand_as(products), atol=1e-4)


def test_neighbouring_channels_are_one_complex_number() -> None:
    rope, vectors = Rotary(6), torch.randn(3, 7, 6)
    turns = torch.polar(torch.ones(7, 3), torch.arange(7.0)[:, None] * rope.freqs)
    expected = torch.view_as_real(torch.view_as_complex(vectors.view(3, 7, 3, 2)) * turns)
    torch.testing.assert_close(rope(vectors), expected.flatten(2))


def test_rates_are_a_formula_and_not_trained() -> None:
    rope = Rotary(4)
    assert rope.freqs.tolist() == [1.0, 0.009999999776482582]
    assert not rope.freqs.requires_grad


@torch.inference_mode()
def test_attention_is_torchs_where_there_are_no_positions() -> None:
    ours = RotaryAttention(12, 3, nn.Identity())
    theirs = nn.MultiheadAttention(12, 3, bias=False, batch_first=True)
    theirs.in_proj_weight.copy_(ours.qkv.weight)
    theirs.out_proj.weight.copy_(ours.aggregate_heads[0].weight)
    features = torch.randn(2, 9, 12)
    torch.testing.assert_close(ours(features), theirs(features, features, features)[0])


@torch.inference_mode()
def test_causal_attention_does_not_see_what_comes() -> None:
    ours = RotaryAttention(8, 2, Rotary(6), inner=12, causal=True)
    features, changed = torch.randn(1, 9, 8), torch.randn(1, 9, 8)
    changed[:, :5] = features[:, :5]
    torch.testing.assert_close(ours(features)[:, :5], ours(changed)[:, :5])
    assert not torch.allclose(ours(features)[:, 5:], ours(changed)[:, 5:])


@torch.inference_mode()
def test_cross_attention_is_torchs() -> None:
    ours = CrossAttention(12, 3)
    theirs = nn.MultiheadAttention(12, 3, bias=False, batch_first=True)
    theirs.in_proj_weight.copy_(torch.cat((ours.q.weight, ours.kv.weight)))
    theirs.out_proj.weight.copy_(ours.aggregate_heads[0].weight)
    queries, memory = torch.randn(2, 4, 12), torch.randn(2, 9, 12)
    torch.testing.assert_close(ours(queries, memory), theirs(queries, memory, memory)[0])
