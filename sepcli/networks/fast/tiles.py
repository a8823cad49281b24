"""Rows that do not depend on each other, a few at a time: what is computed stays in the cache."""

from collections.abc import Callable

import torch
from torch import Tensor


def in_tiles(
    network: Callable[[Tensor], Tensor], features: Tensor, size: int, *, axis: int = 0
) -> Tensor:
    """Return what a network makes of the features, `size` places of an axis at a time.

    Args:
        network: Sees no two places of the axis together, and keeps it where it is.
        features: Any number of axes.
        size: Places at a time; less than one stands for one.
        axis: The axis to cut.
    """
    if features.shape[axis] <= size:
        return network(features)
    return torch.cat([network(part) for part in torch.split(features, max(1, size), axis)], axis)
