import pytest
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


def test_cumulative_norm_sees_no_later_frame() -> None:
    features, weight, bias = randn(2, 7, 4), randn(4, seed=1), randn(4, seed=2)
    whole = layers.cumulative_norm(features, weight, bias, 1e-8)
    for time in range(1, 8):
        part = layers.global_norm(features[:, :time], weight, bias, 1e-8)
        assert torch.allclose(whole[:, time - 1], part[:, -1], atol=1e-4)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_time_norm_is_an_instance_norm_and_so_is_its_gradient(batch: int) -> None:
    # torch's gradient of a batch norm is wrong for some layouts, without a word
    features = torch.randn(batch, 52, 6)[:, :51].requires_grad_()
    gain, offset, slope = (torch.randn(6) for _ in range(3))
    wanted = F.prelu(F.instance_norm(features.transpose(1, 2), weight=gain, bias=offset), slope)
    given = layers.time_norm(features, gain, offset, slope)
    assert torch.allclose(given, wanted.transpose(1, 2), atol=1e-5)
    towards = torch.randn(batch, 51, 6)
    (expected,) = torch.autograd.grad(wanted.transpose(1, 2), features, towards)
    (gradient,) = torch.autograd.grad(given, features, towards)
    assert torch.allclose(gradient, expected, atol=1e-4)
