"""The order of estimates that nothing but their likeness to other signals tells."""

import itertools

import numpy as np
import torch
from torch import Tensor

# Past four speakers the number of orders grows too fast to try them all.
MAX_EXHAUSTIVE = 4


def best_assignment(scores: Tensor) -> Tensor:
    """Return which estimate fits each signal, `[..., signals]` int64, by the largest sum of scores.

    Up to four estimates every permutation is tried; beyond that the Hungarian method finds the same
    one. Where there are more estimates than signals, some are left out.

    Args:
        scores: `[..., estimates, signals]`, finite, at least as many estimates as signals.
    """
    num_estimates, num_signals = scores.shape[-2:]
    if num_estimates <= MAX_EXHAUSTIVE:
        return _exhaustive_order(scores)
    from scipy.optimize import linear_sum_assignment  # few have as many, and it takes a while

    rows = scores.detach().reshape(-1, num_estimates, num_signals).cpu().numpy()
    orders = [linear_sum_assignment(row.T, maximize=True)[1] for row in rows]
    found = torch.from_numpy(np.stack(orders)).to(scores.device)
    return found.reshape(*scores.shape[:-2], num_signals)


def reordered(estimates: Tensor, like: Tensor) -> Tensor:
    """Return `estimates` in the order of speakers in which they resemble `like` most.

    Args:
        estimates: `[batch, speakers, time]`.
        like: Same shape; that order has the largest sum of inner products with it.
    """
    best = best_assignment(estimates.detach() @ like.detach().transpose(1, 2))  # [B, S]
    return estimates.gather(1, best.unsqueeze(-1).expand_as(estimates))


def _exhaustive_order(scores: Tensor) -> Tensor:
    """Best of all orders, the first of equals; `[..., estimates, signals]` → `[..., signals]`."""
    num_estimates, num_signals = scores.shape[-2:]
    orders = torch.tensor(
        list(itertools.permutations(range(num_estimates), num_signals)), device=scores.device
    )
    signals = torch.arange(num_signals, device=scores.device)
    totals = scores[..., orders, signals].sum(-1)  # [..., orders]
    return orders[totals.argmax(-1)]
