"""Layout, convolutions, normalisations and resizing of the U block."""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.networks.layers import linear

KERNEL = 5
"""Taps of the strided and of the top-down depthwise convolutions."""

NORM_EPS = 1e-8

SHORT_ROW = 1 << 18
"""Features of a row up to which one kernel normalises it faster than sums and an affine map do."""


class GlobalNorm(nn.Module):
    """Scale and offset per channel of a normalisation over time and channels of a row."""

    def __init__(self, channels: int, eps: float = NORM_EPS) -> None:
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    @property
    def weight(self) -> Tensor:
        """Scale by channel, under the name that torch's own norms give it."""
        return self.gamma

    @property
    def bias(self) -> Tensor:
        """Offset by channel."""
        return self.beta


def group_norm(channels: int) -> nn.GroupNorm:
    """Return the same normalisation with torch's names for its parameters."""
    return nn.GroupNorm(1, channels, NORM_EPS)


Norm = GlobalNorm | nn.GroupNorm
MakeNorm = Callable[[int], Norm]


M = TypeVar("M", bound=nn.Module)


def children(parent: nn.Module, kind: type[M]) -> list[M]:
    """Return the children of a list of modules, which are all of one kind."""
    found = []
    for module in parent.children():
        assert isinstance(module, kind)
        found.append(module)
    return found


def child(parent: nn.Module, index: int, kind: type[M]) -> M:
    """Return the child at a place of a list of modules, of the kind it has there."""
    found = list(parent.children())[index]
    assert isinstance(found, kind)
    return found


def image(features: Tensor) -> Tensor:
    """Return a view as `[row, channel, 1, time]`, which torch recognises as channels-last."""
    return features.transpose(1, 2).unsqueeze(2)


def sequence(images: Tensor) -> Tensor:
    """Return a view as `[row, time, channel]`; undoes `image`."""
    return images.squeeze(2).transpose(1, 2)


def pointwise(
    features: Tensor, conv: nn.Conv1d | nn.Conv2d, *, residual: Tensor | None = None
) -> Tensor:
    """Return the kernel-1 convolution of the features, plus `residual` if given.

    Args:
        features: `[row, time, channel]`.
        conv: A convolution of kernel 1 without groups.
        residual: Of the shape of the result.
    """
    if not torch.is_grad_enabled():
        return linear(features, conv.weight.flatten(1), conv.bias, residual=residual)
    weight = conv.weight.flatten(1)[:, :, None, None]
    result = sequence(F.conv2d(image(features), weight, conv.bias))
    return result if residual is None else residual + result


def depthwise(features: Tensor, conv: nn.Conv1d) -> Tensor:
    """Return each channel convolved with its own odd kernel, `[row, ceil(time / stride), channel]`.

    With gradients too: shifted products were no faster there, with a stride four times as slow.
    """
    channels, _, taps = conv.weight.shape
    stride = conv.stride[0]
    weight = conv.weight.unsqueeze(2)
    return sequence(
        F.conv2d(image(features), weight, conv.bias, (1, stride), (0, taps // 2), groups=channels)
    )


def rectify(features: Tensor, act: nn.PReLU) -> Tensor:
    """Return the features, `[..., channel]`, rectified with one slope or with one a channel.

    Where no gradients are kept, the features may be overwritten.
    """
    if len(act.weight) > 1:
        return F.prelu(features.flatten(0, -2), act.weight).view(features.shape)
    if torch.is_grad_enabled() or features.device.type != "cpu":
        return F.prelu(features, act.weight)
    return F.leaky_relu_(features, float(act.weight))  # its kernel is the faster one


def scale_and_offset(mean: Tensor, square: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
    """Return a, b `[row, 1, channel]` such that a x + b is x normalised.

    Args:
        mean: Mean of x over time and channels, `[row, 1, 1]`.
        square: Mean of x², `[row, 1, 1]`.
        norm: Holds scale and offset by channel.
    """
    scale = norm.weight * ((square - mean.square()).clamp_min(0) + norm.eps).rsqrt()
    return scale, norm.bias - scale * mean


def means(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the mean square over time and channels, `[row, 1, 1]`."""
    # Frame by frame first: one float32 sum over all would lose digits.
    frame = torch.linalg.vector_norm(features, dim=2, keepdim=True)
    square = frame.square().mean(1, keepdim=True) / features.shape[2]
    return features.mean(2, keepdim=True).mean(1, keepdim=True), square


def normalise(features: Tensor, norm: Norm, *, residual: Tensor | None = None) -> Tensor:
    """Return the features of each row normalised over time and channels, plus `residual`."""
    shape = features.shape[1:]
    if not torch.is_grad_enabled() and shape.numel() <= SHORT_ROW:
        weight, bias = norm.weight.expand(shape), norm.bias.expand(shape)
        normed = F.layer_norm(features, shape, weight, bias, norm.eps)
        return normed if residual is None else residual + normed
    # Not torch's group_norm: its channels-last sums lose digits as the recording grows.
    scale, offset = scale_and_offset(*means(features), norm)
    if residual is None:
        return torch.addcmul(offset, features, scale)
    return torch.addcmul(residual, features, scale) + offset


@lru_cache(maxsize=256)
def nearest(source: int, target: int, device: torch.device) -> Tensor:
    """Return the source frame of every target frame under nearest-neighbour resizing.

    The position is computed in float32, as torch does and as the published networks were trained;
    whole-number arithmetic gives other frames at many pairs of lengths.
    """
    with torch.inference_mode(False):
        frames = torch.arange(source, dtype=torch.float32, device=device)
        return F.interpolate(frames[None, None], size=target, mode="nearest")[0, 0].long()


def spread(fine: Tensor, factor: Tensor, offset: Tensor) -> Tensor:
    """Return fine * up(factor) + up(offset), where up resizes to fine's length by repetition.

    Args:
        fine: `[row, time, channel]`.
        factor: `[row, coarse time, channel]`.
        offset: `[row, coarse time, channel]`.
    """
    rows, time, channels = fine.shape
    coarse = factor.shape[1]
    if not torch.is_grad_enabled() and doubles(coarse, time, fine.device):
        result = torch.empty_like(fine)
        for parity in (0, 1):  # a third of the time of one broadcast over pairs
            own = fine[:, parity::2]
            frames = own.shape[1]
            scale, added = factor[:, :frames], offset[:, :frames]
            torch.addcmul(added, own, scale, out=result[:, parity::2])
        return result
    if time % coarse == 0:  # every coarse frame is repeated equally often: a view will do
        blocks = fine.reshape(rows, coarse, time // coarse, channels)
        return torch.addcmul(offset.unsqueeze(2), blocks, factor.unsqueeze(2)).reshape(fine.shape)
    index = nearest(coarse, time, fine.device)
    added, scale = offset.index_select(1, index), factor.index_select(1, index)
    return torch.addcmul(added, fine, scale)


@lru_cache(maxsize=256)
def doubles(source: int, target: int, device: torch.device) -> bool:
    """Tell whether `nearest` takes every source frame twice, but perhaps the last once."""
    if source != (target + 1) // 2:
        return False
    return torch.equal(nearest(source, target, device), torch.arange(target, device=device) // 2)


def add_doubled(fine: Tensor, coarse: Tensor) -> Tensor:
    """Return fine plus every coarse frame twice, cut to fine's length.

    Where no gradients are kept, fine is overwritten.
    """
    frames = fine.shape[1]
    if torch.is_grad_enabled():
        return fine + coarse.repeat_interleave(2, 1)[:, :frames]
    # One sum for even and one for odd frames: a third of the time of a broadcast over pairs.
    for parity in (0, 1):
        own = fine[:, parity::2]
        own.add_(coarse[:, : own.shape[1]])
    return fine


class ConvNorm(nn.Module):
    """Parameters of a convolution, its normalisation, and for some a rectifier's slope."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        norm: MakeNorm,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        bias: bool = True,
        rectify: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias
        )
        self.norm: Norm = norm(outputs)
        if rectify:
            self.act = nn.PReLU()
