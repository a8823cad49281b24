"""Two networks of different kinds whose estimates are averaged.

What they get wrong differs, so their mean is nearer to the truth than either: Hansen, Salamon,
"Neural network ensembles", IEEE Transactions on Pattern Analysis and Machine Intelligence 12, 1990.
The masking transformer sees 32 ms at once and the whole chunk through attention; GC3 sees 8 ms at
once and the chunk through recurrent layers.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sepcli.networks import gc3, stftformer


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of both networks.

    Attributes:
        stftformer: Of the masking transformer.
        gc3: Of GC3, for as many speakers.
    """

    stftformer: stftformer.Config
    gc3: gc3.Config

    def __post_init__(self) -> None:
        if self.stftformer.num_speakers != self.gc3.num_speakers:
            raise ValueError(f"both networks must have {self.num_speakers} speakers")

    @property
    def num_speakers(self) -> int:
        """Number of estimates."""
        return self.stftformer.num_speakers


class Network(nn.Module):
    """Mean of two networks: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.stftformer = stftformer.Network(config.stftformer)
        self.gc3 = gc3.Network(config.gc3)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]`, time ≥ 1."""
        first = self.stftformer(mixture)
        second = reordered(self.gc3(mixture), first)
        mean: Tensor = (first + second) / 2
        return mean


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
