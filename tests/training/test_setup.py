"""A network made ready to train."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from sepcli.training.recipe import ModelRecipe, Recipe
from sepcli.training.setup import make_network


@pytest.mark.parametrize(
    ("architecture", "config", "unused"),
    [
        (
            "s4m",
            {"window": 160, "channels": 8, "hidden": 16, "depth": 3, "repeats": 2, "state": 4},
            "sm.unet.loc_glo_fus.2.",
        ),
        ("stftformer", {"dim": 8, "heads": 1, "hidden": 8, "num_blocks": 1}, ""),
    ],
)
def test_what_can_be_trained_is_what_the_estimates_depend_on(
    write_recipe: Callable[..., Recipe],
    architecture: str,
    config: dict[str, Any],
    unused: str,
) -> None:
    model = ModelRecipe(architecture=architecture, config=config)
    network = make_network(dataclasses.replace(write_recipe(), model=model)).train()
    network(torch.randn(2, 4000)).sum().backward()
    for name, parameter in network.named_parameters():
        is_used = not (unused and name.startswith(unused))
        assert parameter.requires_grad == is_used, name
        assert (parameter.grad is not None) == is_used, name
