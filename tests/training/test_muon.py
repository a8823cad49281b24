"""Muon's updates are orthogonal, as large as AdamW's, and the same for a pointwise convolution."""

import pytest
import torch
from torch import nn

from sepcli.training.muon import ADAMW_RMS, Muon, orthogonalised


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6)])
def test_singular_values_end_near_one(shape: tuple[int, int], dtype: torch.dtype) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalised(1e-3 * matrix, dtype)
    assert result.shape == shape and result.dtype == torch.float32
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.6 and values.max() < 1.3  # the iteration ends between 0.7 and 1.2


def test_the_directions_are_those_of_the_matrix() -> None:
    matrix = torch.randn(6, 20, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalised(matrix, torch.float32)
    inner = left.mT @ result @ right.mT
    assert (inner - inner.diagonal().diag()).abs().max() < 1e-4


def test_a_step_is_as_large_as_one_of_adamw() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(30, 50, bias=False)
    before = layer.weight.detach().clone()
    optimiser = Muon(layer.parameters(), lr=0.1)
    layer(torch.randn(4, 30)).square().sum().backward()
    optimiser.step()
    moved = (layer.weight - before).square().mean().sqrt().item()
    # Four rows of data leave four directions of 30, which alone are moved; the iteration ends
    # between 0.7 and 1.2.
    assert moved == pytest.approx(0.1 * ADAMW_RMS * (4 / 30) ** 0.5, rel=0.3)


def test_weights_decay_without_a_gradient_of_their_own() -> None:
    layer = nn.Linear(3, 3, bias=False)
    before = layer.weight.detach().clone()
    optimiser = Muon(layer.parameters(), lr=0.1, weight_decay=0.5)
    layer.weight.grad = torch.zeros_like(layer.weight)
    optimiser.step()
    torch.testing.assert_close(layer.weight.detach(), 0.95 * before)


def test_pointwise_convolutions_are_matrices() -> None:
    torch.manual_seed(0)
    first, second = nn.Conv1d(6, 4, 1, bias=False), nn.Linear(6, 4, bias=False)
    second.weight.data.copy_(first.weight.data.flatten(1))
    inputs = torch.randn(3, 6, 5)
    for layer, given in ((first, inputs), (second, inputs.mT)):
        optimiser = Muon(layer.parameters(), lr=0.1)
        for _ in range(3):
            optimiser.zero_grad()
            layer(given).square().sum().backward()
            optimiser.step()
    torch.testing.assert_close(first.weight.flatten(1), second.weight)


def test_it_goes_on_from_its_state() -> None:
    layer = nn.Linear(4, 4, bias=False)
    optimiser = Muon(layer.parameters(), lr=0.1)
    layer.weight.grad = torch.eye(4)
    optimiser.step()
    again = Muon(layer.parameters(), lr=0.1)
    again.load_state_dict(optimiser.state_dict())
    held = next(iter(again.state.values()))["momentum"]
    torch.testing.assert_close(held, 0.05 * torch.eye(4))
