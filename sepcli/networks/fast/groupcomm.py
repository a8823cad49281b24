"""TAC and Sudo rm -rf's U block on narrow groups, whose cost is passes over memory.

Norms, PReLUs and sums work in place; rows go through in tiles; TAC takes the product with a
concatenation as a sum of two products, the mean's once for all groups.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.fast.norms import normalise, rectify
from sepcli.networks.fast.tiles import in_tiles
from sepcli.networks.layers import depthwise, groupcomm, linear, pointwise, sumblock
from sepcli.networks.layers.ublock import ConvNorm

TILE = 1 << 20
"""Features of the widest map that are worked on at once: four megabytes."""


class TAC(nn.Module):
    """`layers.groupcomm.TAC`."""

    def __init__(self, tac: groupcomm.TAC) -> None:
        super().__init__()
        self.transform, self.average, self.norm = tac.TAC_input, tac.TAC_mean, tac.TAC_norm
        weight, self.bias, self.slope = tac.TAC_output.parameters()
        self.hidden = weight.shape[1] // 2
        self.for_own, self.for_mean = (part.contiguous() for part in weight.detach().chunk(2, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return the features after the exchange, `[batch, groups, frames, features]`."""
        _, groups, frames, _ = features.shape
        return in_tiles(self.rows, features, TILE // (groups * frames * self.hidden))

    def rows(self, features: Tensor) -> Tensor:
        """Return the same, of all rows at once."""
        # Before the norm no frame sees another.
        frames = TILE // (features.shape[0] * features.shape[1] * self.hidden)
        told = in_tiles(self.exchange, features, frames, axis=2)
        return normalise(told, self.norm).add_(features)

    def exchange(self, features: Tensor) -> Tensor:
        """Return what the groups are told, `[batch, groups, frames, features]`."""
        own = self.transform(features)
        told = linear(own, self.for_own)
        told += linear(self.average(own.mean(1)), self.for_mean, self.bias).unsqueeze(1)
        return F.leaky_relu_(told, float(self.slope))


class SumBlock(nn.Module):
    """`layers.sumblock.SumBlock`."""

    def __init__(self, block: sumblock.SumBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, features: Tensor) -> Tensor:
        """Return the features plus what the block found, `[rows, frames, features]`."""
        width = self.block.res_conv.in_channels
        return in_tiles(self.rows, features, TILE // (features.shape[1] * width))

    def rows(self, features: Tensor) -> Tensor:
        """Return the same, of all rows at once."""
        first, last = self.block.proj_1x1, self.block.final_norm
        assert isinstance(first.act, nn.PReLU)
        current = rectify(normalise(pointwise(features, first.conv), first.norm), first.act)
        scales = []
        for stage in self.block.spp_dw:
            assert isinstance(stage, ConvNorm)
            conv = stage.conv
            current = depthwise(current, conv.weight, conv.bias, stride=conv.stride[0])
            current = normalise(current, stage.norm)
            scales.append(current)
        for finer in reversed(scales[:-1]):
            for parity in (0, 1):  # even frames, then odd ones: nothing is written out twice
                own = finer[:, parity::2]
                own.add_(current[:, : own.shape[1]])
            current = finer
        current = rectify(normalise(current, last.norm), last.act)
        return pointwise(current, self.block.res_conv, residual=features)


FORMS = {groupcomm.TAC: TAC, sumblock.SumBlock: SumBlock}
