"""TDANet: coarse features, refined at the slowest rate, gate the fine ones from the top down.

Li, Yang, Hu, "An efficient encoder-decoder architecture with top-down attention for speech
separation", ICLR 2023, https://arxiv.org/abs/2209.15200, figures 1 to 3. The layout of the keys is
that of the published TDANetBest checkpoints, or of the class TDANet before it (`gated=False`).

Deviations: each row of a batch gives what it gives alone; the published attention runs over the
rows of the batch instead of time, so that for a row alone it is a linear map, which is what is
computed here. There is no limit on the length, and no dropout in training.

The frame (encoder, repeats, masks, decoder) and the U block are in layers/ublock.py, since S4M has
them too; what makes TDANet of them, the global attention at the coarsest scale, is here. Letters in
comments: B rows, T frames of that scale, H channels inside of a block (N in the paper).
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.networks.layers import Positions, check_sizes, depthwise, linear
from sepcli.networks.layers.ublock import (
    ConvNorm,
    MakeNorm,
    RecurrentMasker,
    UBlock,
    gamma_norm,
    group_norm,
)

TABLE_FRAMES = 10000
"""Rows of the positional table that checkpoints hold; longer ones are computed."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of TDANet; the defaults are those of the published 4 ms network at 16 kHz.

    Attributes:
        num_speakers: Number of estimates <C>.
        window: Encoder window, a multiple of 4 [samples].
        channels: Channels outside of a block, in the bottleneck.
        hidden: Channels inside a block <N>.
        depth: Scales of a block, at least 2 <S>.
        repeats: Times the block is applied <B>.
        heads: Attention heads; they change nothing in a row's answer.
        gated: Whether refined features gate each scale (TDANetBest) or are added (TDANet).
    """

    num_speakers: int = 2
    window: int = 64
    channels: int = 128
    hidden: int = 512
    depth: int = 5
    repeats: int = 16
    heads: int = 8
    gated: bool = True

    def __post_init__(self) -> None:
        check_sizes(self, window=4, hidden=2, depth=2)
        if self.window % 4:  # frames are a quarter of it apart
            raise ValueError(f"window must be a multiple of 4: {self.window}")
        if self.hidden % self.heads:
            raise ValueError(f"heads must divide hidden: {self.heads}")


class Network(RecurrentMasker):
    """TDANet: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        norm: MakeNorm = gamma_norm if config.gated else group_norm
        super().__init__(
            Block(config, norm),
            num_speakers=config.num_speakers,
            window=config.window,
            channels=config.channels,
            repeats=config.repeats,
            norm=norm,
        )
        self.config = config


class Block(UBlock):
    """TDANet's U block: global attention refines the coarsest scale (figure 2)."""

    def __init__(self, config: Config, norm: MakeNorm) -> None:
        super().__init__(config.channels, config.hidden, config.depth, norm, gated=config.gated)
        self.globalatt = GlobalAttention(config.hidden, config.heads, norm)

    def refine(self, coarse: Tensor, *shared: Tensor) -> Tensor:
        """Return the global features, `[row, coarse time, hidden]`."""
        refined: Tensor = self.globalatt(coarse)
        return refined


class GlobalAttention(nn.Module):
    """Attention and a feed-forward layer, each with a skip (figure 3, GA).

    x' = x + Attention(x), y = x' + FFN(x').
    """

    def __init__(self, channels: int, heads: int, norm: MakeNorm) -> None:
        super().__init__()
        self.attn = Attention(channels, heads)
        self.mlp = Mlp(channels, 2 * channels, norm)

    def forward(self, coarse: Tensor) -> Tensor:
        """Return `[row, time, channel]`."""
        coarse = coarse + self.attn(coarse)  # [B, T, H]
        refined: Tensor = coarse + self.mlp(coarse)  # [B, T, H]
        return refined


class Attention(nn.Module):
    """Attention over a single element: the map to values, then the one to the output."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.pos_enc = Positions(TABLE_FRAMES, channels)
        self.attn_in_norm = nn.LayerNorm(channels)
        self.attn = nn.MultiheadAttention(channels, heads)
        self.norm = nn.LayerNorm(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[row, time, channel]`."""
        _, time, channels = features.shape
        attn, out = self.attn, self.attn.out_proj
        sequence = self.attn_in_norm(features) + self.pos_enc(time)  # [B, T, H]
        # The softmax over one element is 1: queries and keys do not matter.
        value = linear(sequence, attn.in_proj_weight[-channels:], attn.in_proj_bias[-channels:])
        attended = linear(value, out.weight, out.bias)
        normed: Tensor = self.norm(attended + attended)  # no residual, as published
        return normed


class Mlp(nn.Module):
    """Convolutional feed-forward layer: widen, look at the neighbours, rectify, narrow."""

    def __init__(self, channels: int, hidden: int, norm: MakeNorm) -> None:
        super().__init__()
        self.fc1 = ConvNorm(channels, hidden, norm, bias=False)
        self.dwconv = nn.Conv1d(hidden, hidden, 5, 1, 2, groups=hidden)
        self.fc2 = ConvNorm(hidden, channels, norm, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[row, time, channel]`."""
        wide = self.fc1(features)  # [B, T, 2 * H]
        seen = F.relu(depthwise(wide, self.dwconv.weight, self.dwconv.bias))  # [B, T, 2 * H]
        narrow: Tensor = self.fc2(seen)  # [B, T, H]
        return narrow
