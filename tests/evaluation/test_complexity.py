"""Operations whose number is known in closed form, and that every network can be counted."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sepcli.evaluation.complexity import count_macs, count_parameters, macs_per_second
from sepcli.models.build import build_network
from tests.networks import golden


class Layers(nn.Module):
    """A convolution over `time`, and whatever else a test puts after it."""

    def __init__(self, after: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 3, 5, padding=2, bias=False)
        self.after = after

    def forward(self, mixture: Tensor) -> Tensor:
        features = self.conv(mixture.unsqueeze(1)).transpose(1, 2)
        return features if self.after is None else self.after(features)


def _on_meta(after: type[nn.Module] | None = None, *sizes: int, **options: object) -> nn.Module:
    with torch.device("meta"):
        return Layers(after(*sizes, **options) if after else None)


def test_a_convolution() -> None:
    assert count_macs(_on_meta(), 1000) == 1000 * 3 * 5
    assert count_parameters(_on_meta()) == 15


def test_a_linear_map() -> None:
    assert count_macs(_on_meta(nn.Linear, 3, 7), 100) == 100 * (15 + 21)


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3)])
def test_recurrent_layers_by_formula(kind: type[nn.Module], gates: int) -> None:
    network = _on_meta(kind, 3, 6, num_layers=2, bidirectional=True)
    steps = 50 * 2 * gates * 6 * ((3 + 6) + (12 + 6))
    assert count_macs(network, 50) == 50 * 15 + steps


class Spectrum(nn.Module):
    def forward(self, mixture: Tensor) -> Tensor:
        window = torch.hann_window(64, device=mixture.device)
        spectrum = torch.stft(mixture, 64, 16, window=window, return_complex=True)
        return torch.istft(spectrum, 64, 16, window=window, length=mixture.shape[-1])


def test_short_time_transforms_by_formula() -> None:
    one = int(2.5 * 64 * math.log2(64)) // 2
    assert count_macs(Spectrum(), 160) == pytest.approx(2 * (160 // 16 + 1) * one, abs=2)


class Windowed(Layers):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.from_numpy(np.ones(1000, np.float32)))

    def forward(self, mixture: Tensor) -> Tensor:
        return super().forward(mixture * self.window)


def test_a_buffer_that_is_not_on_the_meta_device_is_taken_there() -> None:
    with torch.device("meta"):
        network = Windowed()
    assert count_macs(network, 1000) == 1000 * 15


class Transform(nn.Module):
    def forward(self, mixture: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(mixture), mixture.shape[-1])


def test_whole_transforms_by_formula() -> None:
    assert count_macs(Transform(), 1024) == int(2.5 * 1024 * 10)


def test_per_second_is_counted_on_four() -> None:
    assert macs_per_second(_on_meta(), 8000) == 8000 * 15


def empty(network: str, name: str) -> nn.Module:
    """Return a narrow network on the meta device."""
    config = dataclasses.asdict(golden.narrow_config(network, name))
    return build_network(network, config, where=network)[0]


@pytest.mark.parametrize(("network", "name"), dict(golden.contract_configs()).items())
def test_every_network_is_counted_without_memory(network: str, name: str) -> None:
    assert count_macs(empty(network, name), 2000) > 0


def test_a_longer_mixture_takes_more_and_a_network_is_counted_again_as_before() -> None:
    network = empty("dprnn", "dprnn")
    short, long, again = (count_macs(network, num_samples) for num_samples in (500, 900, 500))
    assert short == again < long
