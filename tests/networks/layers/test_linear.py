import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks import layers
from sepcli.networks.layers.linear import _ACTIVATIONS


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("activation", ["none", "relu", "silu", "gelu", "tanh", "sigmoid"])
def test_fused_linear_is_linear(activation: str) -> None:
    weight, bias = randn(5, 7, seed=1), randn(5, seed=2)
    features = randn(2, 6, 9, seed=3)[..., 1:8]  # not contiguous
    expected = {"none": lambda x: x, **_ACTIVATIONS}[activation](
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


def test_autocast_chooses_the_precision_of_products() -> None:
    features, weight, residual = randn(3, 7), randn(5, 7, seed=1), randn(3, 5, seed=2)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert layers.linear(features, weight).dtype == torch.bfloat16
        assert layers.linear(features, weight, residual=residual).dtype == torch.float32


def test_linear_is_differentiable() -> None:
    weight = randn(5, 7).requires_grad_()
    layers.linear(randn(3, 7), weight, residual=torch.zeros(3, 5)).sum().backward()
    assert weight.grad is not None and weight.grad.abs().sum() > 0


def test_pointwise_is_a_convolution_and_prelu() -> None:
    torch.manual_seed(0)
    conv, prelu = nn.Conv1d(6, 8, 1), nn.PReLU()
    features = randn(3, 4, 6)
    expected = prelu(conv(features.transpose(1, 2)).transpose(1, 2)).detach()
    with torch.no_grad():
        fused = layers.pointwise(features, conv, prelu=prelu)
    assert torch.allclose(fused, expected, atol=1e-6)
    assert torch.allclose(layers.pointwise(features, conv, prelu=prelu), expected, atol=1e-6)
