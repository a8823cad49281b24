"""What the group-communication networks share: the exchange between groups, and a U block.

Features are cut into groups, and one narrow network serves every group. Groups belong to the
batch and features come last, `[batch, group, frame, feature]`, so that every linear map is one
matrix product and every normalisation one pass over adjacent memory.
"""

from collections.abc import Iterator
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.layers import linear
from sepcli.ublock import KERNEL, ConvNorm, GlobalNorm, Norm, add_doubled, depthwise, rectify

TILE = 1 << 18
"""Hidden features of a U block that are worked on at once: a megabyte a map."""

M = TypeVar("M", bound=nn.Module)


def each(kind: type[M], modules: nn.Module) -> Iterator[M]:
    """Return the children of a list of modules, all of one kind."""
    for module in modules.children():
        assert isinstance(module, kind)
        yield module


def normalise(features: Tensor, norm: Norm) -> Tensor:
    """Return each group normalised over all of its frames.

    Args:
        features: `[..., frames, features]`; mean and variance go over the last two axes.
        norm: Holds scale and offset by feature.
    """
    shape = features.shape[-2:]
    return F.layer_norm(
        features, shape, norm.weight.expand(shape), norm.bias.expand(shape), norm.eps
    )


def pointwise(features: Tensor, conv: nn.Conv1d | nn.Conv2d) -> Tensor:
    """Return the kernel-1 convolution of features that come last, `[..., features]`."""
    return linear(features, conv.weight.flatten(1), conv.bias)


class TAC(nn.Module):
    """Transform, average, concatenate: what one group tells all others.

    Luo, Han, Mesgarani, https://arxiv.org/abs/2012.07291, section II-B.
    """

    def __init__(self, width: int, hidden: int, norm: Norm) -> None:
        super().__init__()
        self.TAC_input = nn.Sequential(nn.Linear(width, hidden), nn.PReLU())
        self.TAC_mean = nn.Sequential(nn.Linear(hidden, hidden), nn.PReLU())
        self.TAC_output = nn.Sequential(nn.Linear(2 * hidden, width), nn.PReLU())
        self.TAC_norm = norm

    def forward(self, features: Tensor) -> Tensor:
        """Return the features after the exchange, `[batch, groups, frames, features]`."""
        own = _rectified(features, self.TAC_input)
        shared = _rectified(own.mean(1), self.TAC_mean)
        # The product with a concatenation is a sum of two products, the mean's taken only once.
        last, rectify = self.TAC_output
        assert isinstance(last, nn.Linear)
        for_own, for_shared = last.weight.chunk(2, 1)
        told = linear(own, for_own.contiguous())
        told = told + linear(shared, for_shared.contiguous(), last.bias).unsqueeze(1)
        return features + normalise(rectify(told), self.TAC_norm)


def _rectified(features: Tensor, layers: nn.Sequential) -> Tensor:
    """Return what a linear map and a rectifier make of the features."""
    first, rectify = layers
    assert isinstance(first, nn.Linear) and isinstance(rectify, nn.PReLU)
    return linear(features, first.weight, first.bias, activation="prelu", slope=rectify.weight)


class _Rectifier(nn.Module):
    """Parameters of the normalisation and the rectifier that end a U block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = GlobalNorm(width)
        self.act = nn.PReLU()


class SumBlock(nn.Module):
    """Sudo rm -rf's U block: down through strided depthwise filters, up by repeating and adding.

    Tzinis, Wang, Smaragdis, https://arxiv.org/abs/2103.02644, figure 2.
    """

    def __init__(self, width: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.proj_1x1 = ConvNorm(width, hidden, GlobalNorm, rectify=True)
        self.spp_dw = nn.ModuleList(
            ConvNorm(hidden, hidden, GlobalNorm, kernel=KERNEL, stride=min(d, 1) + 1, groups=hidden)
            for d in range(depth)
        )
        self.final_norm = _Rectifier(hidden)
        self.res_conv = nn.Conv1d(hidden, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the features plus what the block found, `[rows, frames, features]`."""
        # Rows do not depend on each other; a few at a time stay in the cache.
        tile = max(1, TILE // (features.shape[1] * self.res_conv.in_channels))
        if torch.is_grad_enabled() or tile >= len(features):
            return self.tile(features)
        return torch.cat([self.tile(rows) for rows in torch.split(features, tile)])

    def tile(self, features: Tensor) -> Tensor:
        """Return what `forward` does, for all rows at once."""
        inner = normalise(pointwise(features, self.proj_1x1.conv), self.proj_1x1.norm)
        current = rectify(inner, self.proj_1x1.act)
        scales = []
        for stage in each(ConvNorm, self.spp_dw):
            current = normalise(depthwise(current, stage.conv), stage.norm)
            scales.append(current)
        for finer in reversed(scales[:-1]):
            current = add_doubled(finer, current)
        final = self.final_norm
        rectified = rectify(normalise(current, final.norm), final.act)
        out = self.res_conv
        return linear(rectified, out.weight.squeeze(2), out.bias, residual=features)
