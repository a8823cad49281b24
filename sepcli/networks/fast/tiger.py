"""TIGER: U blocks on a few rows at a time, and all heads of attention in one product."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks import tiger
from sepcli.networks.fast import ublock
from sepcli.networks.fast.tiles import in_tiles
from sepcli.networks.layers import linear

TILE = 1 << 20
"""Features of the widest map that are worked on at once: four megabytes."""

QUERIES = 1024
"""Places that ask at once: their weights are a matrix of this height."""


class Block(nn.Module):
    """`tiger.Block`: rows do not depend on each other."""

    def __init__(self, block: tiger.Block) -> None:
        super().__init__()
        self.block = block

    def forward(self, features: Tensor) -> Tensor:
        """Return the features plus what the block found, `[row, place, channel]`."""
        width = features.shape[1] * self.block.res_conv.in_channels
        return in_tiles(self.block, features, TILE // width)


class Attention(nn.Module):
    """`tiger.Attention`."""

    def __init__(self, attention: tiger.Attention) -> None:
        super().__init__()
        self.queries, self.keys, self.values = (
            Heads(heads) for heads in (attention.Queries, attention.Keys, attention.Values)
        )
        self.join = attention.attn_concat_proj

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, place, row, channel]` for the same."""
        rows, channels = features.shape[2:]
        key, value = self.keys(features), self.values(features)  # [B, A, P, R * E or R * N / A]
        query = self.queries(features) * key.shape[3] ** -0.5
        size = min(QUERIES, max(16, TILE // (rows * channels)))
        result = torch.empty_like(features)
        for asked, own, out in zip(
            torch.split(query, size, 2),
            torch.split(features, size, 1),
            torch.split(result, size, 1),
            strict=True,
        ):
            weights = torch.softmax(asked @ key.transpose(2, 3), 3)
            seen = (weights @ value).view(*weights.shape[:3], rows, -1)  # [B, A, P', R, N / A]
            torch.add(own, self.join(seen.permute(0, 2, 3, 1, 4).flatten(3)), out=out)
        return result


class Heads(nn.Module):
    """`tiger.Projection` of all heads: each channel has weight, slope and gain of its head."""

    def __init__(self, heads: nn.ModuleList) -> None:
        super().__init__()
        parts = [head for head in heads if isinstance(head, tiger.Projection)]
        self.shape = len(parts), parts[0].conv.out_channels
        self.weight, self.bias, self.slope, self.gain, self.offset = (
            torch.cat(each).detach() for each in zip(*map(by_channel, parts), strict=True)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return the heads' maps, `[batch, head, place, row * channel]`."""
        batch, places, rows, channels = features.shape
        size = max(16, TILE // (batch * rows * channels))
        result = features.new_empty(batch, self.shape[0], places, rows, self.shape[1])
        parts, outs = torch.split(features, size, 1), torch.split(result, size, 2)
        for part, out in zip(parts, outs, strict=True):
            active = F.prelu(linear(part.flatten(0, 2), self.weight, self.bias), self.slope)
            normed = F.layer_norm(
                active.view(-1, *self.shape), self.shape[1:], eps=tiger.CHANNEL_EPS
            )
            scaled = torch.addcmul(self.offset, normed.flatten(1), self.gain)
            out.copy_(scaled.view(*part.shape[:3], *self.shape).permute(0, 3, 1, 2, 4))
        return result.flatten(3)


def by_channel(part: tiger.Projection) -> tuple[Tensor, ...]:
    """Return weight, bias, slope, gain and offset of a projection, of each output channel."""
    weight, bias = part.conv.weight.flatten(1), part.conv.bias
    assert bias is not None
    slope = part.act.weight.expand(len(weight))
    return weight, bias, slope, part.norm.gamma.flatten(), part.norm.beta.flatten()


FORMS = {**ublock.FORMS, tiger.Block: Block, tiger.Attention: Attention}
