"""Optimisers and the learning rate over the steps of a recipe."""

import math

from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from sepcli.training.recipe import OptimiserRecipe

# AdamW's second moment forgets faster than usual: runs here are short.
BETAS = (0.9, 0.98)
# Muon moves the matrices; what AdamW keeps beside it (norms, biases, ends) wants no higher rate.
HIGHEST_RATE_BESIDE_MUON = 2e-3


def make_optimisers(network: nn.Module, recipe: OptimiserRecipe) -> list[Optimizer]:
    """Return the optimisers that together move every trainable parameter once.

    Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/) takes the matrices
    inside the network's repeated blocks, scaled to AdamW's step size (Liu et al., 2025,
    https://arxiv.org/abs/2502.16982, section 2.2), so that both share one rate.
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
        muon = Muon(
            inner,
            lr=recipe.rate,
            weight_decay=recipe.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        optimisers.append(muon)
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
    """Whether a parameter is a matrix of a numbered block: `blocks.3.up.weight`."""
    return parameter.ndim == 2 and any(part.isdigit() for part in name.split("."))
