import torch
from torch import Tensor
from torch.nn import functional as F

from sepcli.networks import layers


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_global_norm_is_group_norm_of_one_group() -> None:
    features = randn(2, 4, 5, 6) + 3
    weight, bias = randn(6, seed=1), randn(6, seed=2)
    expected = F.group_norm(features.permute(0, 3, 1, 2), 1, weight, bias, 1e-8)
    expected = expected.permute(0, 2, 3, 1)
    ours = layers.global_norm(features, weight, bias, 1e-8)
    assert torch.allclose(ours, expected, atol=1e-5)
    ours = layers.global_norm(features, weight, bias, 1e-8, residual=features)
    assert torch.allclose(ours, expected + features, atol=1e-5)
