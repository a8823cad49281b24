"""Optimisers and the learning rate over the steps of a recipe."""

import math

from torch import nn
from torch.optim import AdamW, Optimizer

from sepcli.training.muon import Muon
from sepcli.training.recipe import OptimiserRecipe

# AdamW's second moment forgets faster than usual: runs here are short.
BETAS = (0.9, 0.98)
# Muon moves the matrices; what AdamW keeps beside it (norms, biases, ends) wants no higher rate.
HIGHEST_RATE_BESIDE_MUON = 2e-3
INNER_DEPTH = 3  # modules around a weight that is inside a block


def make_optimisers(network: nn.Module, recipe: OptimiserRecipe) -> list[Optimizer]:
    """Return the optimisers that together move every trainable parameter once.

    Muon takes the matrices inside the network's blocks, where the recipe asks for it.
    """
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    inner = [p for name, p in named if _is_inner_matrix(name, p) and recipe.method == "muon"]
    taken = {id(p) for p in inner}
    rest = [p for _, p in named if id(p) not in taken]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rate = min(recipe.rate, HIGHEST_RATE_BESIDE_MUON) if inner else recipe.rate
    optimisers: list[Optimizer] = [AdamW(groups, lr=rate, betas=BETAS)]
    if inner:
        optimisers.append(Muon(inner, lr=recipe.rate, weight_decay=recipe.weight_decay))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["highest_rate"] = group["lr"]
    return optimisers


def rate_factor(step: int, steps: int, recipe: OptimiserRecipe) -> float:
    """Return the part of the highest learning rate for step 0, 1, … of `steps`."""
    warmup = min(1.0, (step + 1) / max(1, recipe.warmup_steps))
    done = step / steps
    if recipe.decay == "cosine":
        return warmup * 0.5 * (1 + math.cos(math.pi * done))
    if recipe.decay == "linear":
        return warmup * min(1.0, 2 * (1 - done))
    return warmup


def set_rate(optimisers: list[Optimizer], factor: float) -> None:
    """Set all learning rates to a part of their highest."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = factor * group["highest_rate"]


def _is_inner_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is a matrix inside a block, by the depth of its name.

    `blocks.3.up.weight` is; `bottleneck.weight` and `encoder.linear.weight` are at the
    network's ends.
    """
    *outer, own = name.split(".")
    shape = parameter.shape
    is_matrix = "weight" in own and len(shape) > 1 and shape[1] > 1 and shape[2:].numel() == 1
    return is_matrix and len(outer) >= INNER_DEPTH
