"""Sudo rm -rf: U-shaped blocks of strided depthwise convolutions, in asteroid's two forms.

Tzinis, Wang, Smaragdis, "Sudo rm -rf: Efficient Networks for Universal Audio Source Separation",
MLSP 2020, https://arxiv.org/abs/2007.06833, figure 1; the improved form is that of "Compute and
Memory Efficient Universal Sound Source Separation", https://arxiv.org/abs/2103.02644. Keys are
those of asteroid's SuDORMRFNet and SuDORMRFImprovedNet; the authors' own files have others.

Layout: `[batch, frame, channel]`, see `sepcli.networks.layers.ublock`. The first form's masks come
from a linear map and then one filter along the features for each speaker; both together are one
linear map.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.networks.layers import Filterbank, check_sizes, decode, linear, pointwise
from sepcli.networks.layers.sumblock import NormAct, add_up
from sepcli.networks.layers.ublock import ConvNorm, Descent, MakeNorm, gamma_norm, group_norm


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of Sudo rm -rf; the defaults are asteroid's for the improved form.

    Attributes:
        num_speakers: Number of estimates.
        num_filters: Encoder filters, also the channels inside a block; even <C_E>.
        kernel_size: Encoder window [samples] <K_E>.
        stride: Distance of frames [samples].
        channels: Channels between the blocks <C>.
        depth: Scales of a block <Q>.
        num_blocks: Number of blocks <B>.
        improved: Whether it is the improved form.
    """

    num_speakers: int = 2
    num_filters: int = 512
    kernel_size: int = 21
    stride: int = 10
    channels: int = 128
    depth: int = 4
    num_blocks: int = 16
    improved: bool = True

    def __post_init__(self) -> None:
        check_sizes(self, num_filters=2, kernel_size=2)


class Network(nn.Module):
    """Sudo rm -rf: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.num_filters, config.kernel_size)
        self.masker = Masker(config)
        self.decoder = Filterbank(config.num_filters, config.kernel_size)

    def forward(self, mixture: Tensor) -> Tensor:
        """Return the estimates, `[batch, time]` → `[batch, speakers, time]`."""
        # B batch, F frames, N filters, S speakers
        config, time = self.config, mixture.shape[1]
        whole = math.lcm(config.kernel_size // 2, 2**config.depth)
        padded = F.pad(mixture, (0, -time % whole)).unsqueeze(1)
        half = config.kernel_size // 2
        encoded = F.conv1d(padded, self.encoder.encoder.filters, None, config.stride, half)
        if not config.improved:
            encoded = encoded.relu()
        frames = encoded.transpose(1, 2).contiguous()  # [B, F, N]
        masked = self.masker(frames) * frames.unsqueeze(2)  # [B, F, S, N]
        reached = (frames.shape[1] - 1) * config.stride + config.kernel_size - half - 1
        estimates = decode(masked, self.decoder.filters, config.stride, half + reached)[..., half:]
        return F.pad(estimates, (0, time - estimates.shape[2]))


class Encoder(nn.Module):
    """Filters, stored twice in checkpoints: asteroid wraps its encoder in one that pads."""

    def __init__(self, num_filters: int, kernel_size: int) -> None:
        super().__init__()
        self.encoder = Filterbank(num_filters, kernel_size)
        self.filterbank = self.encoder.filterbank


class Masker(nn.Module):
    """Masks of encoded frames."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.num_speakers, self.improved = config.num_speakers, config.improved
        filters, channels = config.num_filters, config.channels
        norm: MakeNorm = gamma_norm if config.improved else group_norm
        self.ln = norm(filters)
        self.sm = nn.Sequential(*(Block(config) for _ in range(config.num_blocks)))
        if config.improved:
            self.bottleneck = nn.Conv1d(filters, channels, 1)
            self.mask_net = nn.ModuleList(
                [nn.PReLU(), nn.Conv1d(channels, self.num_speakers * filters, 1)]
            )
        else:
            self.l1 = nn.Conv1d(filters, channels, 1)
            if channels != filters:
                self.reshape_before_masks = nn.Conv1d(channels, filters, 1)
            self.m = nn.Conv2d(1, self.num_speakers, (filters + 1, 1))

    def forward(self, encoded: Tensor) -> Tensor:
        """Return the masks, `[batch, frame, speaker, filter]`."""
        first = self.bottleneck if self.improved else self.l1
        refined: Tensor = self.sm(pointwise(self.ln(encoded), first))
        if self.improved:
            rectify, to_masks = self.mask_net
            masks = pointwise(rectify(refined), to_masks).relu()
            return masks.reshape(*masks.shape[:2], self.num_speakers, -1)
        masks = linear(refined, *self.filters())
        return masks.reshape(*masks.shape[:2], self.num_speakers, -1).softmax(2)

    def filters(self) -> tuple[Tensor, Tensor]:
        """Return the linear map to all masks, `[speaker * filter, channel]`, and its offset."""
        assert self.m.bias is not None
        taps, filters = self.m.weight.flatten(1), self.m.weight.shape[2] - 1
        place = torch.arange(filters, device=taps.device)
        # The filter of a speaker slides along the features: mask i sees feature j by this tap.
        tap = place - place.unsqueeze(1) + filters - filters // 2
        slid = F.pad(taps, (0, 1))[:, tap.clamp(-1, filters + 1)].flatten(0, 1)
        bias = self.m.bias.repeat_interleave(filters)
        if not hasattr(self, "reshape_before_masks"):
            return slid, bias
        before = self.reshape_before_masks
        assert before.bias is not None
        return slid @ before.weight.squeeze(2), slid @ before.bias + bias


class Block(nn.Module):
    """Down through the scales, and back up by repeating and adding (figure 1)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        norm: MakeNorm = gamma_norm if config.improved else group_norm
        channels, hidden = config.channels, config.num_filters
        self.proj_1x1 = ConvNorm(channels, hidden, norm, rectify=True)
        self.spp_dw = Descent(hidden, config.depth, norm)
        self.final_norm = NormAct(norm(hidden), ChannelPReLU(hidden))
        if config.improved:
            self.res_conv = nn.Conv1d(hidden, channels, 1)
        else:
            self.proj_1x1.act = ChannelPReLU(hidden)
            self.conv_1x1_exp = ConvNorm(hidden, channels, norm)
            self.module_act = NormAct(norm(channels), ChannelPReLU(channels))
        self.improved = config.improved

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frame, channel]`."""
        # B batch, L frames, C channels, N filters
        scales = self.spp_dw(self.proj_1x1(features))  # each [B, L / 2^d, N]
        final = self.final_norm(add_up(scales))  # [B, L, N]
        if self.improved:
            return pointwise(final, self.res_conv, residual=features)  # [B, L, C]
        out: Tensor = self.module_act(self.conv_1x1_exp(final) + features)  # [B, L, C]
        return out


class ChannelPReLU(nn.PReLU):
    """PReLU with one slope a channel, for channels that come last."""

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frame, channel]`."""
        return F.prelu(features.flatten(0, 1), self.weight).view(features.shape)
