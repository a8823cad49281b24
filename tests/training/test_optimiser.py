"""Optimisers cover each parameter once; the learning rate follows its schedule."""

import pytest
import torch
from torch import nn

from sepcli.networks.stftformer import Config, Network
from sepcli.training.optimiser import make_optimisers, rate_factor, set_rate
from sepcli.training.recipe import OptimiserRecipe

TINY = Config(window=16, stride=8, dim=8, heads=1, hidden=8, num_blocks=2)


@pytest.mark.parametrize("method", ["adamw", "muon"])
def test_every_parameter_moves_in_one_optimiser(method: str) -> None:
    network = Network(TINY)
    recipe = OptimiserRecipe(method=method)  # type: ignore[arg-type]
    optimisers = make_optimisers(network, recipe)
    held = [p for o in optimisers for group in o.param_groups for p in group["params"]]
    assert len(held) == len(list(network.parameters())) == len({id(p) for p in held})
    before = [p.detach().clone() for p in network.parameters()]
    network(torch.randn(2, 100)).square().sum().backward()
    for optimiser in optimisers:
        optimiser.step()
    moved = [not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True)]
    assert all(moved)


def test_muon_takes_the_matrices_of_blocks_only() -> None:
    network = Network(TINY)
    muon = make_optimisers(network, OptimiserRecipe(method="muon"))[1]
    mine = {id(p) for group in muon.param_groups for p in group["params"]}
    names = {name for name, p in network.named_parameters() if id(p) in mine}
    assert names == {
        f"blocks.{number}.{part}.weight"
        for number in range(2)
        for part in ("attention.qkv", "attention.out", "feed.up", "feed.down")
    }


@pytest.mark.parametrize("layer", [nn.Conv1d(4, 4, 1, groups=4), nn.Conv1d(4, 4, 3), nn.PReLU(4)])
def test_muon_leaves_what_is_no_matrix(layer: nn.Module) -> None:
    assert len(make_optimisers(nested(layer), OptimiserRecipe(method="muon"))) == 1


def nested(layer: nn.Module) -> nn.Module:
    """Return a network that holds a layer as `blocks.0.part.weight`."""
    block = nn.ModuleDict({"part": layer})
    return nn.ModuleDict({"blocks": nn.ModuleList([block])})


def test_biases_and_norms_do_not_decay() -> None:
    for optimiser in make_optimisers(Network(TINY), OptimiserRecipe(weight_decay=0.5)):
        for group in optimiser.param_groups:
            decays = {p.ndim > 1 for p in group["params"]}
            assert decays == {group["weight_decay"] > 0}


@pytest.mark.parametrize("decay", ["cosine", "linear", "none"])
def test_rate_rises_then_falls(decay: str) -> None:
    recipe = OptimiserRecipe(warmup_steps=10, decay=decay)  # type: ignore[arg-type]
    factors = [rate_factor(step, 100, recipe) for step in range(100)]
    assert factors[0] == pytest.approx(0.1, abs=0.001)
    assert factors[:10] == sorted(factors[:10])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    end = {"cosine": 0.0, "linear": 0.02, "none": 1.0}[decay]
    assert factors[-1] == pytest.approx(end, abs=0.001)
    middle = {"cosine": 0.5, "linear": 1.0, "none": 1.0}[decay]
    assert factors[50] == pytest.approx(middle, abs=0.001)


def test_set_rate_scales_the_highest_rate() -> None:
    optimisers = make_optimisers(nn.Linear(2, 2), OptimiserRecipe(rate=0.4))
    for factor in (0.5, 0.25):
        set_rate(optimisers, factor)
        assert {g["lr"] for o in optimisers for g in o.param_groups} == {0.4 * factor}
