"""Conv-TasNet: a stack of dilated depthwise convolutions that masks learned features.

Luo, Mesgarani, "Conv-TasNet: surpassing ideal time-frequency magnitude masking for speech
separation", IEEE/ACM TASLP 2019, https://arxiv.org/abs/1809.07454, figure 1 and section II,
with the details and the state-dict keys of the checkpoints that asteroid published.

Layout: `[batch, frames, channels]`, so that a convolution of kernel 1 is one matrix product. A norm
only finds a gain and an offset for each channel; these go into the weights of what comes next, and
a block crosses memory as rarely as it can. The depthwise convolution is a sum of shifted products:
a tenth of the time of torch's, forward, and less backward.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers import (
    FilterbankConfig,
    FilterbankNetwork,
    cumulative_norm,
    global_gain,
    linear,
    pointwise,
)

EPS = 1e-8

Normed = tuple[Tensor, Tensor, Tensor]
"""Features, and the gain and offset that what comes next applies to them; see `GlobalNorm`."""


@dataclass(frozen=True, kw_only=True)
class Config(FilterbankConfig):
    """Sizes of Conv-TasNet, beside those of `FilterbankConfig`.

    Attributes:
        bottleneck: Channels between the blocks <B>.
        hidden: Channels within a block <H>.
        skip: Channels of the skip connections, of which masks are made <Sc>; 0 makes masks of the
            last block's output.
        conv_kernel_size: Taps of the depthwise convolution <P>.
        num_blocks: Blocks in a repeat, dilated by 1, 2, 4, … <X>.
        num_repeats: Repeats <R>.
        norm: "gLN" over all of a row, "cLN" over the channels of a frame, "cgLN" over all frames up
            to one, "bN" batch normalisation.
        causal: Whether convolutions see the past only.
    """

    num_filters: int = 512
    bottleneck: int = 128
    hidden: int = 512
    skip: int = 128
    conv_kernel_size: int = 3
    num_blocks: int = 8
    num_repeats: int = 3
    norm: Literal["gLN", "cLN", "cgLN", "bN"] = "gLN"
    causal: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.conv_kernel_size % 2 == 0 and not self.causal:
            raise ValueError(f"conv_kernel_size must be odd: {self.conv_kernel_size}")


class Network(FilterbankNetwork):
    """Conv-TasNet: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        super().__init__(config, Masker(config))


class Masker(nn.Module):
    """Features `[batch, frames, filters]` → masks `[batch, frames, speakers, filters]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.bottleneck = nn.ModuleList(
            [
                NORMS[config.norm](config.num_filters),
                nn.Conv1d(config.num_filters, config.bottleneck, 1),
            ]
        )
        self.TCN = nn.ModuleList(
            Block(config, dilation=2**exponent)
            for _ in range(config.num_repeats)
            for exponent in range(config.num_blocks)
        )
        outputs = config.num_speakers * config.num_filters
        self.mask_net = nn.ModuleList(
            [nn.PReLU(), nn.Conv1d(config.skip or config.bottleneck, outputs, 1)]
        )

    def forward(self, features: Tensor) -> Tensor:
        """Masks for features; see the class."""
        # B: batch, L: frames, C: channels of the bottleneck, S: speakers, N: filters
        batch, frames, filters = features.shape
        norm, conv = self.bottleneck
        narrow = affine(norm(features), [conv])  # [B, L, C]
        # The stream of the blocks and the sum of their skip connections side by side.
        streams = F.pad(narrow, (0, self.config.skip))
        for block in self.TCN:
            streams = block(streams)
        last = streams[..., self.config.bottleneck :] if self.config.skip else streams
        prelu, conv = self.mask_net
        masks = pointwise(prelu(last), conv)  # [B, L, S * N]
        masks = masks.view(batch, frames, self.config.num_speakers, filters)
        return self.config.bound(masks)


class Block(nn.Module):
    """Wide pointwise, depthwise, narrow pointwise convolutions (figure 1 C).

    Args:
        config: See `Config`.
        dilation: Distance of the depthwise convolution's taps [frames].
    """

    def __init__(self, config: Config, dilation: int) -> None:
        super().__init__()
        hidden = config.hidden
        self.bottleneck = config.bottleneck
        self.dilation = dilation
        self.causal = config.causal
        depthwise = nn.Conv1d(hidden, hidden, config.conv_kernel_size, groups=hidden)
        self.shared_block = nn.ModuleList(
            [
                nn.Conv1d(config.bottleneck, hidden, 1),
                nn.PReLU(),
                NORMS[config.norm](hidden),
                nn.ModuleList([depthwise]) if config.causal else depthwise,
                nn.PReLU(),
                NORMS[config.norm](hidden),
            ]
        )
        self.res_conv = nn.Conv1d(hidden, config.bottleneck, 1)
        self.skip_conv = nn.Conv1d(hidden, config.skip, 1) if config.skip else None

    def forward(self, streams: Tensor) -> Tensor:
        """Return both streams, `[batch, frames, bottleneck + skip]`, with this block's added."""
        widen, first_prelu, first_norm, conv, prelu, norm = self.shared_block
        if isinstance(conv, nn.ModuleList):
            conv = conv[0]
        wide = pointwise(streams[..., : self.bottleneck], widen, prelu=first_prelu)
        mixed = prelu(self._convolve(first_norm(wide), conv))
        narrow = [self.res_conv] if self.skip_conv is None else [self.res_conv, self.skip_conv]
        return affine(norm(mixed), narrow, residual=streams)

    def _convolve(self, normed: Normed, conv: nn.Module) -> Tensor:
        """Return the depthwise convolution of `features * gain + offset`, with zeros around."""
        assert isinstance(conv, nn.Conv1d) and conv.bias is not None
        features, gain, offset = normed
        weights = conv.weight.squeeze(1).t()  # [taps, channels]
        frames, reach = features.shape[1], self.dilation * (len(weights) - 1)
        before = reach if self.causal else reach // 2
        # As if the offset stood in the zeros around as well; taken out of the ends below.
        constant = conv.bias + offset * weights.sum(0)  # [rows, 1, channels]
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


class GlobalNorm(nn.Module):
    """Norm over all of a row.

    Like the other norms here it returns features, gain and offset, and leaves it to what comes
    next to compute `features * gain + offset`; gain and offset are `[batch or 1, 1, channels]`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Normed:
        """Return features `[batch, frames, channels]` with gain and offset; see the class."""
        return features, *global_gain(features, self.gamma, self.beta, EPS)


class FrameNorm(GlobalNorm):
    """Norm over the channels of each frame; see `GlobalNorm` for what it returns."""

    def forward(self, features: Tensor) -> Normed:
        """Return features `[batch, frames, channels]` with gain and offset; see `GlobalNorm`."""
        normed = F.layer_norm(features, features.shape[-1:], eps=EPS)
        return normed, self.gamma.view(1, 1, -1), self.beta.view(1, 1, -1)


class CumulativeNorm(GlobalNorm):
    """Norm over all frames up to each one; see `GlobalNorm` for what it returns."""

    def forward(self, features: Tensor) -> Normed:
        """Return features `[batch, frames, channels]` with gain and offset; see `GlobalNorm`."""
        one, zero = torch.ones_like(self.gamma), torch.zeros_like(self.beta)
        normed = cumulative_norm(features, one, zero, EPS)
        return normed, self.gamma.view(1, 1, -1), self.beta.view(1, 1, -1)


class BatchNorm(nn.BatchNorm1d):
    """Norm by running statistics; see `GlobalNorm` for what it returns."""

    def forward(self, features: Tensor) -> Normed:  # type: ignore[override]
        """Return features `[batch, frames, channels]` with gain and offset; see `GlobalNorm`."""
        assert self.running_mean is not None and self.running_var is not None
        if self.training:
            normed = super().forward(features.transpose(1, 2)).transpose(1, 2)
            one, zero = torch.ones_like(self.weight), torch.zeros_like(self.bias)
            return normed, one.view(1, 1, -1), zero.view(1, 1, -1)
        gain = self.weight * (self.running_var + self.eps).rsqrt()
        offset = self.bias - self.running_mean * gain
        return features, gain.view(1, 1, -1), offset.view(1, 1, -1)


NORMS = {"gLN": GlobalNorm, "cLN": FrameNorm, "cgLN": CumulativeNorm, "bN": BatchNorm}


def affine(normed: Normed, convs: Sequence[nn.Module], residual: Tensor | None = None) -> Tensor:
    """Return convolutions of kernel 1 of `features * gain + offset`, side by side.

    Args:
        normed: What a norm returned.
        convs: The convolutions.
        residual: `[batch, frames, outputs of all]`, added to the result.
    """
    features, gain, offset = normed
    weight = torch.cat([conv.get_parameter("weight").squeeze(-1) for conv in convs])
    bias = torch.cat([conv.get_parameter("bias") for conv in convs])
    weights, biases = weight * gain, F.linear(offset.squeeze(1), weight, bias)
    if len(weights) == 1:
        return linear(features, weights[0], biases[0], residual=residual)
    rows = []
    for row, own_weight in enumerate(weights):
        other = None if residual is None else residual[row]
        rows.append(linear(features[row], own_weight, biases[row], residual=other))
    return torch.stack(rows)
