"""The best path through states, by Viterbi, over any number of steps; pure."""

from collections.abc import Iterable
from typing import Any

import numpy as np

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
States = np.ndarray[Any, np.dtype[np.uint16]]  # 8 people in 5 outputs: 600


def best_path(blocks: Iterable[FloatArray], prices: FloatArray) -> States:
    """Return the best state at each step, `[steps]`.

    Where all paths that may still become the best have been one, nothing is left to decide, and
    nothing is held any more: mostly that is all but the last seconds.

    Args:
        blocks: Evidence for each state, one block after the other, `[steps, states]`.
        prices: What it costs to go from one state to another, 0 to stay, `[before, after]`.
    """
    decided: list[States] = []
    came_from = np.zeros((0, len(prices)), np.uint16)  # at the steps that are open
    open_paths = came_from
    score = np.zeros(len(prices))
    into = np.ascontiguousarray(prices.T)
    for evidence in blocks:
        before = np.zeros(evidence.shape, np.uint16)
        for step, values in enumerate(evidence):
            through = score - into
            before[step] = through.argmax(axis=1)
            score = np.maximum.reduce(through, axis=1) + values
        came_from = np.concatenate([came_from, before])
        paths = _paths_to_each_state(came_from)
        num_decided = np.count_nonzero((paths == paths[:, :1]).all(axis=1))
        decided.append(paths[:num_decided, 0].copy())
        came_from, open_paths = came_from[num_decided:], paths[num_decided:]
    return np.concatenate([*decided, open_paths[:, score.argmax()]])


def _paths_to_each_state(came_from: States) -> States:
    """Return the best path to each state of the last step, `[steps, states]`."""
    paths = np.zeros_like(came_from)
    paths[-1:] = np.arange(came_from.shape[1])
    for step in range(len(paths) - 1, 0, -1):
        paths[step - 1] = came_from[step, paths[step]]
    return paths
