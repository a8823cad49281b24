"""Conv-TasNet in few passes over memory.

A norm only finds a gain and an offset for each channel; these go into the weights of what comes
next. The depthwise convolution is a sum of shifted products. The stream of the blocks and the sum
of their skip connections lie side by side, so that one product feeds both.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks import convtasnet
from sepcli.networks.fast import filterbank
from sepcli.networks.layers import GlobalNorm, global_gain, linear, pointwise

Normed = tuple[Tensor, Tensor, Tensor]
"""Features, and the gain and offset that what comes next applies to them."""


class Masker(nn.Module):
    """`convtasnet.Masker`."""

    def __init__(self, masker: convtasnet.Masker) -> None:
        super().__init__()
        self.masker = masker
        self.blocks = nn.ModuleList(Block(block) for block in masker.TCN)

    def hidden(self, features: Tensor) -> Tensor:
        """Return what masks are made of, `[batch, frames, channels]`."""
        norm, conv = self.masker.bottleneck
        weight, bias = conv.parameters()
        streams = affine(normalised(norm, features), weight.squeeze(2), bias)  # [B, L, M]
        streams = F.pad(streams, (0, self.masker.config.skip))
        for block in self.blocks:
            streams = block(streams)  # [B, L, M + Sc]
        config = self.masker.config
        return streams[..., config.bottleneck :] if config.skip else streams

    def masks(self, hidden: Tensor) -> Tensor:
        """Return masks `[batch, frames, speakers, filters]` for what `hidden` returns."""
        return self.masker.masks(hidden)


class Block(nn.Module):
    """`convtasnet.Block`."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.widen, self.first_rectify, self.first_norm, conv, self.rectify, self.norm = (
            block.shared_block
        )
        self.conv = conv[0] if block.causal else conv
        self.dilation, self.causal = block.dilation, block.causal
        narrow = [block.res_conv] + ([] if block.skip_conv is None else [block.skip_conv])
        self.weight = torch.cat([each.weight.detach().squeeze(2) for each in narrow])
        self.bias = torch.cat([each.bias.detach() for each in narrow if each.bias is not None])

    def forward(self, streams: Tensor) -> Tensor:
        """Return both streams, `[batch, frames, bottleneck + skip]`, with this block's added."""
        stream = streams[..., : self.widen.in_channels]
        wide = pointwise(stream, self.widen, prelu=self.first_rectify)  # [B, L, H]
        mixed = self.convolve(normalised(self.first_norm, wide))
        del wide  # a quarter of what a block holds
        mixed = F.leaky_relu_(mixed, float(self.rectify.weight))
        return affine(normalised(self.norm, mixed), self.weight, self.bias, residual=streams)

    def convolve(self, normed: Normed) -> Tensor:
        """Return the depthwise convolution of `features * gain + offset`, with zeros around."""
        features, gain, offset = normed
        weights = self.conv.weight.squeeze(1).t()  # [taps, H]
        frames, reach = features.shape[1], self.dilation * (len(weights) - 1)
        before = reach if self.causal else reach // 2
        # As if the offset stood in the zeros around as well; taken out of the ends below.
        constant = self.conv.bias + offset * weights.sum(0)  # [rows, 1, H]
        here = before // self.dilation  # the tap that is not shifted
        total = torch.addcmul(constant, features, gain * weights[here])
        for tap, weight in enumerate(weights):
            shift = max(-frames, min(self.dilation * tap - before, frames))
            if tap == here:
                continue
            first, last = max(0, -shift), frames - max(0, shift)  # frames that this tap reaches
            seen = features[:, first + shift : last + shift]
            total[:, first:last].addcmul_(seen, gain * weight)
            total[:, :first] -= offset * weight
            total[:, last:] -= offset * weight
        return total


def normalised(norm: nn.Module, features: Tensor) -> Normed:
    """Return features, gain and offset, the last two `[batch or 1, 1, channels]`."""
    if isinstance(norm, GlobalNorm):
        return features, *global_gain(features, norm.gain, norm.offset, norm.eps)
    if isinstance(norm, nn.BatchNorm1d):
        assert norm.running_mean is not None and norm.running_var is not None
        gain = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return features, gain.view(1, 1, -1), (norm.bias - norm.running_mean * gain).view(1, 1, -1)
    normed = norm(features)
    return normed, normed.new_ones(1, 1, normed.shape[2]), normed.new_zeros(1, 1, normed.shape[2])


def affine(normed: Normed, weight: Tensor, bias: Tensor, residual: Tensor | None = None) -> Tensor:
    """Return a linear map of `features * gain + offset`, plus `residual` if given."""
    features, gain, offset = normed
    weights, biases = weight * gain, F.linear(offset.squeeze(1), weight, bias)
    if len(weights) == 1:
        return linear(features, weights[0], biases[0], residual=residual)
    rows = []
    for row, own_weight in enumerate(weights):
        other = None if residual is None else residual[row]
        rows.append(linear(features[row], own_weight, biases[row], residual=other))
    return torch.stack(rows)


FORMS = {convtasnet.Network: filterbank.Network, convtasnet.Masker: Masker}
