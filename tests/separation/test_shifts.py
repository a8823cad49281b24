"""Shifts: errors that depend on where a chunk begins, or which way up it is, average out."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sepcli.separation.plan import SeparationOptions
from sepcli.separation.separator import Separator
from sepcli.separation.shifts import SHIFT_SAMPLES, Shifted
from tests.doubles import Identity, entry, hear_bands, two_voices


class Upright(nn.Module):
    """Gives shares of the mixture, and adds an error that does not turn over with it."""

    def forward(self, mixture: Tensor) -> Tensor:
        error = mixture.abs() / 8
        return torch.stack((0.75 * mixture + error, 0.25 * mixture - error), 1)


class Framed(nn.Module):
    """Gives shares of the mixture, with an error in every `stride`-th sample."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, mixture: Tensor) -> Tensor:
        error = torch.zeros_like(mixture)
        error[..., :: self.stride] = mixture[..., :: self.stride]
        return torch.stack((0.75 * mixture + error, 0.25 * mixture - error), 1)


class Swapping(nn.Module):
    """Gives the parts above and below zero in another order at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.num_calls = 0

    def forward(self, mixture: Tensor) -> Tensor:
        self.num_calls += 1
        left, right = mixture.clone(), mixture.clone()
        left[..., mixture.shape[-1] // 2 :] = 0
        right[..., : mixture.shape[-1] // 2] = 0
        parts = (left, right) if self.num_calls % 2 else (right, left)
        return torch.stack(parts, 1)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("num_samples", [1, 16, 1000])
def test_an_error_that_does_not_turn_over_is_gone_after_two(num_samples: int) -> None:
    mixture = noise(2, num_samples)
    shares = torch.stack((0.75 * mixture, 0.25 * mixture), 1)
    torch.testing.assert_close(Shifted(Upright(), 2)(mixture), shares)


def test_errors_of_frames_are_spread_over_places() -> None:
    mixture = noise(1, 4000)
    found = Shifted(Framed(8), 4)(mixture)[0]
    wrong = (found[0] - 0.75 * mixture[0]).abs() > 1e-6
    places = {(-number * SHIFT_SAMPLES) % 8 for number in range(4)}  # each with a quarter of it
    assert {int(place) % 8 for place in wrong.nonzero()} == places and len(places) == 4
    torch.testing.assert_close(found[0, wrong], mixture[0, wrong])  # 0.75 and a quarter of one


@pytest.mark.parametrize("count", [2, 3, 4])
def test_each_run_is_put_in_the_order_of_the_first(count: int) -> None:
    mixture = noise(1, 4000)
    network = Swapping()
    found = Shifted(network, count)(mixture)
    half = 4000 // 2 + count * SHIFT_SAMPLES  # no run gives the first speaker any of what is behind
    assert network.num_calls == count
    torch.testing.assert_close(found[0, 0, :1000], mixture[0, :1000])
    torch.testing.assert_close(found[0, 1, half:], mixture[0, half:])
    torch.testing.assert_close(found.sum(1), mixture)


def test_a_separator_runs_its_network_as_often_as_asked() -> None:
    mixture = two_voices(1.0, rate=8000).sum(0)
    calls = []
    for shifts in (1, 3):
        network = Identity()
        count = [0]
        network.register_forward_pre_hook(
            lambda *_, count=count: count.__setitem__(0, count[0] + 1)
        )
        options = SeparationOptions(device="cpu", shifts=shifts)
        found = Separator(network, entry(), options, embed=hear_bands).separate(mixture, 8000)
        np.testing.assert_allclose(found.estimates.sum(0), mixture, atol=1e-6)
        calls.append(count[0])
    assert calls[1] == 3 * calls[0] > 0
