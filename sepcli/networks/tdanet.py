"""TDANet: coarse features, refined at the slowest rate, gate the fine ones from the top down.

Li, Yang, Hu, "An efficient encoder-decoder architecture with top-down attention for speech
separation", ICLR 2023, https://arxiv.org/abs/2209.15200, figures 1 to 3. The layout of the keys is
that of the published TDANetBest checkpoints, or of the class TDANet before it (`gated=False`).

Deviations: each row of a batch gives what it gives alone; the published attention runs over the
rows of the batch instead of time, so that for a row alone it is a linear map, which is what is
computed here. There is no limit on the length.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sepcli.networks.layers import linear
from sepcli.networks.layers.ublock import (
    ConvNorm,
    GlobalNorm,
    MakeNorm,
    RecurrentMasker,
    UBlock,
    depthwise,
    group_norm,
    normalise,
    pointwise,
)

TABLE_FRAMES = 10000
"""Rows of the positional table that checkpoints hold; longer ones are computed."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of TDANet; the defaults are those of the published 4 ms network at 16 kHz.

    Attributes:
        num_speakers: Number of estimates <C>.
        window: Encoder window, a multiple of 4 [samples].
        channels: Channels between the blocks.
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


def positions(frames: int, channels: int) -> Tensor:
    """Return sines and cosines of the frame number, `[1, frames, channels]` (Vaswani 2017, 3.5)."""
    step = -math.log(10000.0) / channels
    rate = torch.exp(torch.arange(0, channels, 2, dtype=torch.float32) * step)
    angle = torch.arange(frames, dtype=torch.float32).unsqueeze(1) * rate
    table = torch.stack([angle.sin(), angle.cos()], 2)
    return table.flatten(1)[:, :channels].unsqueeze(0)


class PositionTable(nn.Module):
    """The positional table, stored in checkpoints."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("pe", positions(TABLE_FRAMES, channels))
        self.pe: Tensor

    def forward(self, frames: int) -> Tensor:
        """Return the first `frames` rows, `[1, frames, channels]`."""
        if frames <= TABLE_FRAMES:
            return self.pe[:, :frames]
        return positions(frames, self.pe.shape[2]).to(self.pe)


class Attention(nn.Module):
    """Attention over a single element: the values' map, then the output's."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.pos_enc = PositionTable(channels)
        self.attn_in_norm = nn.LayerNorm(channels)
        self.attn = nn.MultiheadAttention(channels, heads)
        self.norm = nn.LayerNorm(channels)

    def maps(self, frames: int) -> tuple[Tensor, Tensor]:
        """Return both maps as one: weight `[channel, channel]`, offset `[1, frame, channel]`.

        A softmax over one element is 1, so queries and keys do not matter.
        """
        attn, channels = self.attn, self.norm.weight.shape[0]
        value, value_bias = attn.in_proj_weight[-channels:], attn.in_proj_bias[-channels:]
        weight = attn.out_proj.weight @ value
        bias = attn.out_proj.weight @ value_bias + attn.out_proj.bias
        return weight, self.pos_enc(frames) @ weight.t() + bias

    def forward(self, features: Tensor, weight: Tensor, offset: Tensor) -> Tensor:
        """Return `[row, time, channel]`."""
        out = linear(self.attn_in_norm(features), weight) + offset
        normed: Tensor = self.norm(out + out)  # twice the output: no residual, as published
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
        wide = normalise(pointwise(features, self.fc1.conv), self.fc1.norm)
        seen = depthwise(wide, self.dwconv).relu()
        return normalise(pointwise(seen, self.fc2.conv), self.fc2.norm)


class GlobalAttention(nn.Module):
    """What refines the coarsest scale (figure 3, left)."""

    def __init__(self, channels: int, heads: int, norm: MakeNorm) -> None:
        super().__init__()
        self.attn = Attention(channels, heads)
        self.mlp = Mlp(channels, 2 * channels, norm)

    def forward(self, coarse: Tensor, weight: Tensor, offset: Tensor) -> Tensor:
        """Return `[row, time, channel]`; weight and offset are those of `Attention.maps`."""
        coarse = coarse + self.attn(coarse, weight, offset)
        refined: Tensor = coarse + self.mlp(coarse)
        return refined


class Block(UBlock):
    """TDANet's U block."""

    def __init__(self, config: Config, norm: MakeNorm) -> None:
        super().__init__(config.channels, config.hidden, config.depth, norm, gated=config.gated)
        self.globalatt = GlobalAttention(config.hidden, config.heads, norm)

    def prepare(self, frames: int) -> tuple[Tensor, ...]:
        """Return the attention's maps."""
        return self.globalatt.attn.maps(frames)

    def refine(self, coarse: Tensor, prepared: tuple[Tensor, ...]) -> Tensor:
        """Return the global features, `[row, coarse time, hidden]`."""
        refined: Tensor = self.globalatt(coarse, *prepared)
        return refined


class Network(RecurrentMasker):
    """TDANet: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        norm: MakeNorm = GlobalNorm if config.gated else group_norm
        super().__init__(
            Block(config, norm),
            num_speakers=config.num_speakers,
            window=config.window,
            channels=config.channels,
            repeats=config.repeats,
            norm=norm,
        )
        self.config = config
