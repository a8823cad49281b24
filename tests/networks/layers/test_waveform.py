import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks import layers


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("time", [1, 7, 8, 9, 31, 100])
def test_encode_is_a_strided_convolution(time: int) -> None:
    mixture, weight = randn(2, time), randn(5, 1, 8, seed=1)
    padded = F.pad(mixture, (0, max(0, 8 - time)))
    expected = F.conv1d(padded.unsqueeze(1), weight, stride=4).relu().transpose(1, 2)
    assert torch.allclose(layers.encode(mixture, weight, 4), expected, atol=1e-5)


@pytest.mark.parametrize("num_samples", [1, 40, 44, 50])
def test_decode_is_a_transposed_convolution(num_samples: int) -> None:
    features, weight = randn(2, 10, 3, 5), randn(5, 1, 8, seed=1)
    channels_first = features.permute(0, 2, 3, 1).flatten(0, 1)
    expected = F.conv_transpose1d(channels_first, weight, stride=4).view(2, 3, 44)
    expected = F.pad(expected, (0, num_samples - 44))
    assert torch.allclose(layers.decode(features, weight, 4, num_samples), expected, atol=1e-5)


def test_gated_masks_are_gated_and_not_negative() -> None:
    split = randn(2, 9, 3, 6)
    output, gate, last = nn.Conv1d(6, 6, 1), nn.Conv1d(6, 6, 1), nn.Conv1d(6, 4, 1, bias=False)
    flat = split.permute(0, 2, 3, 1).flatten(0, 1)
    expected = last(output(flat).tanh() * gate(flat).sigmoid()).relu().view(2, 3, 4, 9)
    with torch.no_grad():
        masks = layers.gated_masks(split, output, gate, last.weight)
    assert torch.allclose(masks.permute(0, 2, 3, 1), expected, atol=1e-5)
    assert masks.min() == 0 < masks.max()
