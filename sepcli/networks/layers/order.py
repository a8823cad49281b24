"""The order of estimates that nothing but their likeness to others tells."""

import itertools

import torch
from torch import Tensor


def reordered(estimates: Tensor, like: Tensor) -> Tensor:
    """Return `estimates` in the order of speakers in which they resemble `like` most.

    Args:
        estimates: `[batch, speakers, time]`.
        like: Same shape; that order has the largest sum of inner products with it.
    """
    orders = torch.tensor(
        list(itertools.permutations(range(like.shape[1]))), device=like.device
    )  # [orders, speakers]
    products = like.detach() @ estimates.detach().transpose(1, 2)  # [B, S, S]
    speakers = torch.arange(like.shape[1], device=like.device)
    alike = products[:, speakers, orders].sum(-1)  # [B, orders]
    best = orders[alike.argmax(-1)]  # [B, S]
    return estimates.gather(1, best.unsqueeze(-1).expand_as(estimates))
