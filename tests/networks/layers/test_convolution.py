import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sepcli.networks import layers


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dilation", [1, 2, 5, 40])
@pytest.mark.parametrize("time", [1, 2, 13, 30])
def test_depthwise_is_a_grouped_convolution(time: int, dilation: int) -> None:
    features, weight, bias = randn(2, time, 6), randn(6, 1, 5, seed=1), randn(6, seed=2)
    expected = F.conv1d(
        features.transpose(1, 2), weight, bias, padding=2 * dilation, dilation=dilation, groups=6
    ).transpose(1, 2)
    ours = layers.depthwise(features, weight, bias, dilation=dilation)
    assert torch.allclose(ours, expected, atol=1e-5)


def test_depthwise_is_left_alone_by_autocast() -> None:
    features, weight = randn(1, 149, 12), randn(12, 1, 17, seed=1)
    exact = layers.depthwise(features, weight)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layers.depthwise(features, weight), exact)
        assert layers.depthwise(features.bfloat16(), weight).dtype == torch.float32
