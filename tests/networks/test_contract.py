"""What every network promises: any length, independent rows, no memory of earlier calls."""

import copy
import dataclasses
import math
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sepcli.models.build import Weightless

from . import golden

CONFIGS = golden.contract_configs()


@pytest.mark.parametrize("network", golden.network_names())
def test_every_network_has_a_case(network: str) -> None:
    case = golden.cases().get(network)
    assert case is not None, f"add tests/networks/cases/{network}.py"
    assert case.goldens or case.extras


@cache
def build(network: str, name: str) -> nn.Module:
    """Return the network of a narrow configuration, the same for all tests: they change a copy."""
    return golden.build(network, golden.narrow_config(network, name))


@pytest.fixture(params=CONFIGS, ids="-".join)
def built(request: pytest.FixtureRequest) -> nn.Module:
    return build(*request.param)


@cache
def answer(built: nn.Module) -> Tensor:
    """Return what a network made of `noise(1, 900)` when it was first asked."""
    with torch.inference_mode():
        estimates: Tensor = built(noise(1, 900))
    return estimates


def lengths(config: Any) -> list[int]:
    """Return one sample, lengths around a frame of the network and its half, and a long one."""
    config = getattr(config, "gc3", config)  # one of an ensemble's networks
    frame = getattr(config, "window", None) or config.kernel_size
    return sorted({1, max(1, frame // 2), max(1, frame - 1), frame, frame + 1, 2411})


def noise(batch: int, time: int) -> Tensor:
    return 0.3 * torch.randn(batch, time, generator=torch.Generator().manual_seed(time))


def largest(estimates: Tensor) -> float:
    return float(estimates.abs().max()) or 1.0


@torch.inference_mode()
@pytest.mark.parametrize(("network", "name"), dict(reversed(CONFIGS)).items())  # one of each
def test_sizes_are_refused_or_run(network: str, name: str) -> None:
    config = golden.narrow_config(network, name)
    for size, value in dataclasses.asdict(config).items():
        if isinstance(value, int) and not isinstance(value, bool):
            for other in (-1, 0, 1, value + 1):
                try:
                    built = golden.build(network, dataclasses.replace(config, **{size: other}))
                except ValueError:
                    continue
                assert built(noise(1, 200)).shape[-1] == 200, (size, other)


@torch.inference_mode()
def test_takes_any_length(built: nn.Module) -> None:
    for time in lengths(built.config):
        mixture = noise(1, time)
        before = mixture.clone()
        estimates = built(mixture)
        assert estimates.shape == (1, built.config.num_speakers, time), time
        assert estimates.isfinite().all(), time
        assert torch.equal(mixture, before), f"changed its argument at {time}"


@torch.inference_mode()
def test_rows_do_not_see_each_other(built: nn.Module) -> None:
    mixture = noise(3, 1777) * torch.tensor([[1.0], [0.0], [0.03]])  # the second row is silent
    together = built(mixture)
    for rows in (slice(2), slice(2, 3)):
        alone = built(mixture[rows])
        for row, own in zip(together[rows], alone, strict=True):
            # float32 sums run in another order in another batch
            assert (row - own).abs().max() < 2e-5 * largest(own), rows


@torch.inference_mode()
def test_silence_is_finite(built: nn.Module) -> None:
    assert built(torch.zeros(2, 5)).isfinite().all()  # more of it is a row of the test above


@torch.inference_mode()
def test_nothing_is_left_between_calls(built: nn.Module) -> None:
    state = copy.deepcopy(built.state_dict())
    first = answer(built)
    built(noise(2, 1800))
    built(noise(1, 40))
    assert torch.equal(built(noise(1, 900)), first)
    for key, value in built.state_dict().items():
        assert torch.equal(value, state[key]), key


@torch.inference_mode()
def test_single_precision_is_enough(built: nn.Module) -> None:
    single = answer(built)
    double = copy.deepcopy(built).double()(noise(1, 900).double())
    assert double.dtype == torch.float64
    # rounding of float32 grows through the layers; a wrong constant shows at 1e-2
    assert (single - double).abs().max() < 2e-4 * largest(double)


def test_can_be_trained(built: nn.Module) -> None:
    trained = copy.deepcopy(built).train()
    trained(noise(2, 300)).square().mean().backward()
    gradients = [p.grad for p in trained.parameters() if p.grad is not None]
    assert gradients
    assert all(g.isfinite().all() for g in gradients)
    assert math.fsum(float(g.abs().sum()) for g in gradients) > 0


@pytest.mark.parametrize(("network", "name"), dict(reversed(CONFIGS)).items())  # one of each
def test_products_in_bf16_change_little(network: str, name: str) -> None:
    built = build(network, name)
    exact = answer(built)
    for path in (torch.inference_mode(), torch.enable_grad()):  # a GPU's is the second
        with path, torch.autocast("cpu", torch.bfloat16):
            coarse = built(noise(1, 900))
        # 8 bits of mantissa in every product: a part in 100 after some layers, not a part in 3
        assert (coarse.detach().float() - exact).square().sum() < 0.1 * exact.square().sum()


@pytest.mark.parametrize(("network", "name"), CONFIGS)
def test_is_built_without_memory(network: str, name: str) -> None:
    config = golden.narrow_config(network, name)
    with Weightless():
        empty = golden.build(network, config)
    real = build(network, name)
    assert {k: (v.shape, v.dtype) for k, v in empty.state_dict().items()} == {
        k: (v.shape, v.dtype) for k, v in real.state_dict().items()
    }
    assert all(p.is_meta for p in empty.parameters() if p.requires_grad)
    for name, buffer in empty.named_buffers():  # what no checkpoint holds is there already
        assert name in empty.state_dict() or torch.equal(buffer, real.get_buffer(name)), name
