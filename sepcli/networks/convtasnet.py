"""Conv-TasNet: a stack of dilated depthwise convolutions that masks learned features.

Luo, Mesgarani, "Conv-TasNet: surpassing ideal time-frequency magnitude masking for speech
separation", IEEE/ACM TASLP 2019, https://arxiv.org/abs/1809.07454, figure 1 and section II,
with the details and the state-dict keys of the checkpoints that asteroid published.

Layout: `[batch, frames, channels]`, so that a convolution of kernel 1 is one matrix product.

Letters in comments: B batch, L frames, N filters, C speakers, M bottleneck channels (B in the
paper), H hidden ones, Sc those of the skip connections.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers import (
    FilterbankConfig,
    FilterbankNetwork,
    check_sizes,
    depthwise,
    pointwise,
)
from sepcli.networks.layers.ublock import gamma_norm

EPS = 1e-8


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
        check_sizes(self, skip=0)
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
        return self.masks(self.hidden(features))

    def hidden(self, features: Tensor) -> Tensor:
        """Return what masks are made of, each frame's of its own, `[batch, frames, channels]`."""
        norm, to_bottleneck = self.bottleneck
        stream = pointwise(norm(features), to_bottleneck)  # [B, L, M]
        total = torch.zeros(())  # of the skip connections
        for block in self.TCN:
            stream, skip = block(stream)  # [B, L, M], [B, L, Sc]
            total = skip + total
        return total if self.config.skip else stream

    def masks(self, hidden: Tensor) -> Tensor:
        """Return masks `[batch, frames, speakers, filters]` for what `hidden` returns."""
        rectify, to_masks = self.mask_net
        masks = pointwise(rectify(hidden), to_masks)  # [B, L, C * N]
        masks = masks.view(*hidden.shape[:2], self.config.num_speakers, -1)  # [B, L, C, N]
        return self.config.bound(masks)


class Block(nn.Module):
    """Wide pointwise, depthwise, narrow pointwise convolutions (figure 1 C).

    Args:
        config: See `Config`.
        dilation: Distance of the depthwise convolution's taps [frames].
    """

    shared_block: Any

    def __init__(self, config: Config, dilation: int) -> None:
        super().__init__()
        hidden, norm = config.hidden, NORMS[config.norm]
        self.dilation = dilation
        self.causal = config.causal
        conv = nn.Conv1d(hidden, hidden, config.conv_kernel_size, groups=hidden)
        self.shared_block = nn.ModuleList(
            [
                nn.Conv1d(config.bottleneck, hidden, 1),
                nn.PReLU(),
                norm(hidden),
                nn.ModuleList([conv]) if config.causal else conv,
                nn.PReLU(),
                norm(hidden),
            ]
        )
        self.res_conv = nn.Conv1d(hidden, config.bottleneck, 1)
        self.skip_conv = nn.Conv1d(hidden, config.skip, 1) if config.skip else None

    def forward(self, stream: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stream `[batch, frames, bottleneck]` for the next block, and what it skips."""
        widen, rectify, norm, conv, last_rectify, last_norm = self.shared_block
        wide = norm(pointwise(stream, widen, prelu=rectify))  # [B, L, H]
        seen = last_norm(last_rectify(self.convolve(wide, conv[0] if self.causal else conv)))
        stream = pointwise(seen, self.res_conv, residual=stream)  # [B, L, M]
        return stream, stream if self.skip_conv is None else pointwise(seen, self.skip_conv)

    def convolve(self, features: Tensor, conv: nn.Conv1d) -> Tensor:
        """Return the dilated convolution of each channel, `[batch, frames, hidden]`."""
        if not self.causal:
            return depthwise(features, conv.weight, conv.bias, dilation=self.dilation)
        weight = F.pad(conv.weight, (1 - conv.weight.shape[2] % 2, 0))  # an odd number of taps
        late = F.pad(features, (0, 0, self.dilation * (weight.shape[2] // 2), 0))
        return depthwise(late, weight, conv.bias, dilation=self.dilation)[:, : features.shape[1]]


class FrameNorm(nn.Module):
    """Norm over the channels of each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, channels]` for the same."""
        return F.layer_norm(features, self.gamma.shape, self.gamma, self.beta, EPS)


class CumulativeNorm(FrameNorm):
    """Norm of each frame over all frames up to it (eq. 9)."""

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, channels]` for the same."""
        frames, channels = features.shape[1:]
        count = torch.arange(1, frames + 1, dtype=features.dtype, device=features.device) * channels
        mean = features.sum(-1).cumsum(-1) / count  # [B, L]
        square = features.square().sum(-1).cumsum(-1) / count
        scale = (square - mean.square()).clamp_min(0).add(EPS).rsqrt().unsqueeze(-1)
        return (features - mean.unsqueeze(-1)) * scale * self.gamma + self.beta


class BatchNorm(nn.BatchNorm1d):
    """Norm by running statistics, for channels that come last."""

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, channels]` for the same."""
        return super().forward(features.transpose(1, 2)).transpose(1, 2)


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "gLN": gamma_norm,  # over all of a row (eq. 5)
    "cLN": FrameNorm,
    "cgLN": CumulativeNorm,
    "bN": BatchNorm,
}
