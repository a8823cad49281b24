"""Sudo rm -rf with group communication, as its authors published it.

Tzinis, Wang, Jiang, Smaragdis, "Compute and Memory Efficient Universal Sound Source Separation",
https://arxiv.org/abs/2103.02644, section 2.3. Encoder, bottleneck and masks are those of the
improved Sudo rm -rf at full width; in between, groups of channels share narrow U blocks and talk
to each other before each. Keys are those of the authors' GroupCommSudoRmRf.

The authors' examples bring a mixture to zero mean and unit deviation, scale the estimates back, and
spread over them what they leave of the mixture; here the network does that itself. Deviations:
the estimates share the mixture's mean, so that they add up to it, and what is left over is
measured at one scale (published examples subtract a normalised mixture from unnormalised ones).

Layout: `[batch, group, frame, channel]`, see sepcli/networks/layers/groupcomm.py.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.networks.layers import check_sizes, linear, merge, pointwise
from sepcli.networks.layers.groupcomm import TAC
from sepcli.networks.layers.sumblock import SumBlock
from sepcli.networks.layers.ublock import gamma_norm

DEVIATION_FLOOR = 1e-9


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes; the defaults are those of the published weights for WSJ0-2mix.

    Attributes:
        num_speakers: Number of estimates.
        num_filters: Encoder filters <C_E>.
        kernel_size: Encoder window, odd; the stride is half of it, rounded down [samples] <K_E>.
        channels: Channels between the blocks, a multiple of `num_groups` <C>.
        hidden: Channels inside the blocks of all groups together <C_U>.
        num_groups: Groups of channels.
        depth: Scales of a block <Q>.
        num_blocks: Number of blocks <B>.
    """

    num_speakers: int = 2
    num_filters: int = 512
    kernel_size: int = 21
    channels: int = 256
    hidden: int = 512
    num_groups: int = 16
    depth: int = 5
    num_blocks: int = 8

    def __post_init__(self) -> None:
        check_sizes(self, kernel_size=3)
        if self.channels % self.num_groups:
            raise ValueError(f"channels must be a multiple of num_groups: {self.channels}")


class Network(nn.Module):
    """GroupComm Sudo rm -rf, from the mixture's waveform to the estimates'."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        filters, kernel, speakers = config.num_filters, config.kernel_size, config.num_speakers
        stride, margin = kernel // 2, kernel // 2
        self.encoder = nn.Conv1d(1, filters, kernel, stride, margin, bias=False)
        self.ln = gamma_norm(filters)
        self.bottleneck = nn.Conv1d(filters, config.channels, 1)
        self.sm = nn.Sequential(*(GroupBlock(config) for _ in range(config.num_blocks)))
        self.mask_net = nn.Sequential(
            nn.PReLU(), nn.Conv1d(config.channels, speakers * filters, 1), nn.ReLU()
        )
        self.decoder = nn.ConvTranspose1d(
            speakers * filters, speakers, kernel, stride, margin, stride - 1, bias=False
        )

    def forward(self, mixture: Tensor) -> Tensor:
        """Return the estimates, `[batch, time]` → `[batch, speakers, time]`."""
        num_speakers, time = self.config.num_speakers, mixture.shape[1]
        mean = mixture.mean(1, keepdim=True)
        # The deviation of a sample (n - 1), as published; one sample alone has none.
        power = (mixture - mean).square().sum(1, keepdim=True) / max(1, time - 1)
        deviation = power.sqrt() + DEVIATION_FLOOR
        normed = (mixture - mean) / deviation
        estimates = self._separate(normed)
        left = (normed - estimates.sum(1)) / num_speakers
        consistent = estimates + left.unsqueeze(1)
        return consistent * deviation.unsqueeze(2) + mean.unsqueeze(2) / num_speakers

    def _separate(self, mixture: Tensor) -> Tensor:
        """Return `[batch, speakers, time]` for a mixture of zero mean and unit deviation."""
        # B batch, T frames, N filters, C channels, G groups, S speakers
        time, stride = mixture.shape[1], self.config.kernel_size // 2
        padded = F.pad(mixture, (0, -time % (stride << self.config.depth)))
        framed = F.pad(padded, (stride, stride)).unfold(1, self.config.kernel_size, stride)
        encoded = linear(framed, self.encoder.weight.squeeze(1))  # [B, T, N]
        features = pointwise(self.ln(encoded), self.bottleneck)  # [B, T, C]
        batch, frames, channels = features.shape
        groups = features.view(batch, frames, self.config.num_groups, -1).transpose(1, 2)
        refined = self.sm(groups.contiguous()).transpose(1, 2).reshape(batch, frames, channels)
        pieces = self._masked(refined, encoded)  # [B, T, S * W]
        pieces = pieces.view(batch, frames, self.config.num_speakers, -1).transpose(1, 2)
        waveforms = merge(pieces.flatten(0, 1).unsqueeze(3), stride, stride, time)
        return waveforms.view(batch, -1, time)

    def _masked(self, features: Tensor, encoded: Tensor) -> Tensor:
        """Return a piece of each speaker's waveform for each frame, `[batch, frames, samples]`."""
        rectify, to_masks, _ = self.mask_net
        assert isinstance(to_masks, nn.Conv1d)
        weight = to_masks.weight.squeeze(2)
        masks = linear(rectify(features), weight, to_masks.bias, activation="relu")
        masks = masks.view(*masks.shape[:2], self.config.num_speakers, -1)  # [B, T, S, N]
        masked = masks * encoded.unsqueeze(2)
        # Every estimate is decoded from all speakers' masked features, as published.
        return linear(masked.flatten(2), self.decoder.weight.flatten(1).t().contiguous())


class GroupBlock(nn.Module):
    """TAC, then a U block on every group."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.channels // config.num_groups
        self.TAC = TAC(width, 3 * width, gamma_norm(width))
        self.UBlock = SumBlock(width, config.hidden // config.num_groups, config.depth)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, groups, frames, channels]` for the same."""
        rows: Tensor = self.UBlock(self.TAC(features).flatten(0, 1))
        return rows.view(features.shape)
