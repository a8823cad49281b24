"""What the group-communication networks share: the exchange between groups, and a U block.

Features are cut into groups, and one narrow network serves every group. Groups belong to the
batch and features come last, `[batch, group, frame, feature]`, so that every linear map is one
matrix product and every normalisation one pass over adjacent memory.
"""

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.networks.layers import linear
from sepcli.networks.layers.ublock import (
    KERNEL,
    ConvNorm,
    GlobalNorm,
    Norm,
    add_doubled,
    depthwise,
    rectify,
    scale_and_offset,
)

TILE = 1 << 20
"""Features of the widest map that a thread works on at once: four megabytes."""

LARGE = 1 << 17
"""Features from which sums and an affine map in place beat the fused normalisation."""

BLOCK = 1 << 10
"""Features, at most, that one sum of squares goes over: longer float32 sums lose digits."""

M = TypeVar("M", bound=nn.Module)


def each(kind: type[M], modules: nn.Module) -> Iterator[M]:
    """Return the children of a list of modules, all of one kind."""
    for module in modules.children():
        assert isinstance(module, kind)
        yield module


def in_tiles(
    network: Callable[[Tensor], Tensor], features: Tensor, axis: int, width: int
) -> Tensor:
    """Return what a network makes of the features, a few at a time so that they stay in the cache.

    With gradients, which keep every map anyway, all go at once.

    Args:
        network: Sees no two places of the axis together, and keeps it where it is.
        features: `[..., features]`.
        axis: The axis to cut.
        width: Features of the network's widest map, in place of the last axis.
    """
    places, threads = features.shape[axis], torch.get_num_threads()
    one = features.numel() // features.shape[-1] * width // places
    count = math.ceil(places / (max(1, TILE // one) * threads))
    size = math.ceil(places / count / threads) * threads
    if torch.is_grad_enabled() or size >= places:
        return network(features)
    result = torch.empty_like(features)
    sources, targets = torch.split(features, size, axis), torch.split(result, size, axis)
    for source, target in zip(sources, targets, strict=True):
        target.copy_(network(source))
    return result


def normalise(features: Tensor, norm: Norm, *, own: bool = False) -> Tensor:
    """Return each group normalised over all of its frames.

    Args:
        features: `[..., frames, features]`; mean and variance go over the last two axes.
        norm: Holds scale and offset by feature.
        own: Whether nobody else needs the features, so that they may be overwritten.
    """
    shape = features.shape[-2:]
    plain = features.device.type == "cpu" and features.dtype == torch.float32
    if not (own and plain) or torch.is_grad_enabled() or features.numel() < LARGE:
        weight, bias = norm.weight.expand(shape), norm.bias.expand(shape)
        return F.layer_norm(features, shape, weight, bias, norm.eps)
    # In place, and the kernel would have scale and offset laid out by frame: a third of its time.
    count = shape.numel()
    blocks = features.reshape(*features.shape[:-2], -1, math.gcd(count, BLOCK))
    mean = blocks.sum((-2, -1), keepdim=True) / count
    square = torch.linalg.vector_norm(blocks, dim=-1, keepdim=True).square_().sum(-2, keepdim=True)
    scale, offset = scale_and_offset(mean, square / count, norm)
    return torch.addcmul(offset, features, scale, out=features)


def pointwise(features: Tensor, conv: nn.Conv1d | nn.Conv2d) -> Tensor:
    """Return the kernel-1 convolution of features that come last, `[..., features]`."""
    return linear(features, conv.weight.flatten(1), conv.bias)


class TAC(nn.Module):
    """Transform, average, concatenate: what one group tells all others.

    Luo, Han, Mesgarani, https://arxiv.org/abs/2012.07291, section II-B.
    """

    def __init__(self, width: int, hidden: int, norm: Norm) -> None:
        super().__init__()
        self.hidden = hidden
        self.TAC_input = nn.Sequential(nn.Linear(width, hidden), nn.PReLU())
        self.TAC_mean = nn.Sequential(nn.Linear(hidden, hidden), nn.PReLU())
        self.TAC_output = nn.Sequential(nn.Linear(2 * hidden, width), nn.PReLU())
        self.TAC_norm = norm

    def forward(self, features: Tensor) -> Tensor:
        """Return the features after the exchange, `[batch, groups, frames, features]`."""
        return in_tiles(self.rows, features, 0, self.hidden)

    def rows(self, features: Tensor) -> Tensor:
        """Return what `forward` does, for all of the batch at once."""
        # Before the normalisation no frame sees another.
        told = in_tiles(self.exchange, features, 2, self.hidden)
        return normalise(told, self.TAC_norm, own=True).add_(features)

    def exchange(self, features: Tensor) -> Tensor:
        """Return what the groups are told, `[batch, groups, frames, features]`."""
        own = _rectified(features, self.TAC_input)
        shared = _rectified(own.mean(1), self.TAC_mean)
        # The product with a concatenation is a sum of two products, the mean's taken only once.
        last, slope = self.TAC_output
        assert isinstance(last, nn.Linear) and isinstance(slope, nn.PReLU)
        for_own, for_shared = last.weight.chunk(2, 1)
        told = linear(own, for_own.contiguous())
        told += linear(shared, for_shared.contiguous(), last.bias).unsqueeze(1)
        return rectify(told, slope)


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
        return in_tiles(self.rows, features, 0, self.res_conv.in_channels)

    def rows(self, features: Tensor) -> Tensor:
        """Return what `forward` does, for all rows at once."""
        first, last = self.proj_1x1, self.final_norm
        current = normalise(pointwise(features, first.conv), first.norm, own=True)
        current = rectify(current, first.act)
        scales = []
        for stage in each(ConvNorm, self.spp_dw):
            current = normalise(depthwise(current, stage.conv), stage.norm, own=True)
            scales.append(current)
        for finer in reversed(scales[:-1]):
            current = add_doubled(finer, current)
        current = rectify(normalise(current, last.norm, own=True), last.act)
        out = self.res_conv
        return linear(current, out.weight.squeeze(2), out.bias, residual=features)
