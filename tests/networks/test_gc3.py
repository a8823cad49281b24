import pytest
import torch
import torch.nn.functional as F

from sepcli.networks import gc3

SIZES = {"num_filters": 16, "hidden": 16, "num_groups": 4, "num_layers": 1, "context": 8}


@torch.inference_mode()
def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = gc3.Network(gc3.Config(segment=6, **SIZES)).eval()
    mixture = torch.randn(2, 3000)
    answers = []
    for rows in (1, 20, 10**6):
        monkeypatch.setattr(gc3, "TILE_ROWS", rows)
        answers.append(network(mixture))
    torch.testing.assert_close(answers[0], answers[2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(answers[1], answers[2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 5, gc3.SHORT_ATTENTION, gc3.SHORT_ATTENTION + 1])
@torch.inference_mode()
def test_short_and_long_attention_are_the_same(steps: int) -> None:
    torch.manual_seed(0)
    layer = gc3.AttentionLSTM(8, 4)
    rows = torch.randn(steps, gc3.SHORT_ATTENTION_ROWS + 3, 8)
    attention = layer.self_attn
    joint = F.linear(rows, attention.in_proj_weight, attention.in_proj_bias)
    heads = joint.view(*rows.shape[:2], 3, 4, 2).permute(2, 1, 3, 0, 4)
    mixed = F.scaled_dot_product_attention(*heads).permute(2, 0, 1, 3).reshape(rows.shape)
    expected = attention.out_proj(mixed)
    torch.testing.assert_close(layer.attend(rows), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("frames", [1, 3, 4, 11, 12])
def test_every_frame_lies_in_two_stretches(frames: int) -> None:
    features = torch.randn(2, 3, frames, 5)
    stretches = gc3.split(features, 8)
    assert stretches.shape[2:] == (3, 8, 5)
    torch.testing.assert_close(gc3.join(stretches, frames), 2 * features)


@pytest.mark.parametrize(
    ("config", "parameters"),
    # table V of the context codec's paper: 123.8 K, 191.2 K, 128.6 K
    [
        (gc3.Config(num_layers=8), 123_772),
        (gc3.Config(inner="tcn"), 191_168),
        (gc3.Config(inner="transformer", num_layers=8), 128_636),
    ],
)
def test_has_the_size_of_the_paper(config: gc3.Config, parameters: int) -> None:
    with torch.device("meta"):
        network = gc3.Network(config)
    assert sum(p.numel() for p in network.parameters()) == parameters
