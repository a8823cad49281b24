"""Muon: momentum whose matrices are made orthogonal before each step.

Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/, scaled to AdamW's step size as in
Liu et al., 2025, https://arxiv.org/abs/2502.16982, section 2.2, so that both can share a rate.
Unlike `torch.optim.Muon` it iterates in the number format that is fast on the machine, takes
pointwise convolutions for the matrices that they are, and needs no recent torch.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from sepcli.training.precision import fast_matrix_dtype

# Fifth-order iteration towards an orthogonal matrix; the coefficients are the cited page's.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
ADAMW_RMS = 0.2  # of AdamW's updates, which these are scaled to
EPSILON = 1e-7


class Muon(Optimizer):
    """Moves matrices, `[out, in]` with any further axes of length one."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update the weights by their gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)

    def _move(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        held = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        ahead = torch.lerp(gradient, held, group["momentum"])  # Nesterov's
        update = orthogonalised(ahead.flatten(1), fast_matrix_dtype(weight.device))
        scale = ADAMW_RMS * max(update.shape) ** 0.5
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(update.view_as(weight), alpha=-group["lr"] * scale)


def orthogonalised(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a matrix `[out, in]` with its singular values near 1 (0.7 to 1.2).

    Args:
        matrix: Any but zero.
        dtype: What the products are computed in.
    """
    first, third, fifth = COEFFICIENTS
    wide = matrix.to(dtype) if matrix.shape[0] <= matrix.shape[1] else matrix.mT.to(dtype)
    wide = wide / (wide.norm() + EPSILON)
    for _ in range(ITERATIONS):
        square = wide @ wide.mT
        polynomial = torch.addmm(square, square, square, beta=third, alpha=fifth)
        wide = torch.addmm(wide, polynomial, wide, beta=first)
    return (wide if matrix.shape[0] <= matrix.shape[1] else wide.mT).to(matrix.dtype)
