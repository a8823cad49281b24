"""Weights in 8 bits: half the size of float16, so that five networks fit into one package."""

import torch
from torch import Tensor

from sepcli.errors import WeightsError
from sepcli.models.checkpoints import State

SCALE = ".scale"  # ends the name of the steps of the matrix that stands under the rest of it
LARGEST = 56  # int8 holds 127; with fewer steps an archive is smaller, and estimates lose nothing
SMALLEST_STEP = torch.finfo(torch.float32).tiny  # a row of zeros has none
FEWEST_COLUMNS = 16  # of a row with a step of its own; smaller rows are not worth it


def quantised(state: State) -> State:
    """Return matrices as int8, each row in steps of its own, and all else that floats as float16.

    The steps of matrix `name` are under `name.scale`, `[rows]`.

    Args:
        state: The weights of a network, by its keys.
    """
    stored: State = {}
    for key, value in state.items():
        if not value.is_floating_point():
            stored[key] = value
        elif value.ndim < 2 or value[0].numel() < FEWEST_COLUMNS:
            stored[key] = value.half()
        else:
            step = value.float().flatten(1).abs().amax(dim=1) / LARGEST
            whole = value.float() / _along_rows(step, value).clamp_min(SMALLEST_STEP)
            stored[key] = whole.round().to(torch.int8)
            stored[key + SCALE] = step
    return stored


def dequantised(state: State) -> State:
    """Return what `quantised` was given, as float32; any other state as it is.

    Raises:
        WeightsError: The steps of a matrix are not one a row.
    """
    steps = {key: value for key, value in state.items() if _is_scale(key, state)}
    ready = {key: value for key, value in state.items() if key not in steps}
    for key, step in steps.items():
        name = key.removesuffix(SCALE)
        matrix = ready[name]
        if matrix.ndim < 2 or step.shape != matrix.shape[:1] or not step.is_floating_point():
            raise WeightsError(f"weights of 8 bits need a scale a row: {name}")
        ready[name] = matrix.float() * _along_rows(step, matrix)
    return ready


def _is_scale(key: str, state: State) -> bool:
    name = key.removesuffix(SCALE)
    return name != key and name in state and state[name].dtype == torch.int8


def _along_rows(steps: Tensor, matrix: Tensor) -> Tensor:
    """Return `[rows]` so that it multiplies the rows of a matrix of any number of dimensions."""
    return steps.view(-1, *[1] * (matrix.ndim - 1))
