"""RE-SepFormer: transformers inside segments, and one over their means as memory.

Follows "Resource-Efficient Separation Transformer" (Della Libera et al., ICASSP 2024,
https://arxiv.org/abs/2206.09507), figures 1 and 2, and the checkpoint published with it. Segments
do not overlap; what they know of each other goes through one vector a segment.

Deviations: each row of a batch has a memory of its own (the published code puts the segments of
all rows into one sequence); positions go on beyond the stored table.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers import (
    Encoder,
    GlobalNorm,
    Transformer,
    check_sizes,
    mask_mixture,
    pointwise,
)

EPS = torch.finfo(torch.float32).eps  # of the norms over a sequence


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of the network; the defaults are those of the published checkpoint.

    Attributes:
        num_speakers: Number of estimates `<K>`.
        channels: Channels of the encoder and the masker `<F>`.
        kernel_size: Length of an encoder frame [samples]; frames are half of it apart.
        segment: Length of a segment [frames] `<C>`.
        blocks: Transformers inside segments; between each two there is one over the memory.
        segment_layers: Layers of a transformer inside segments.
        memory_layers: Layers of a transformer over the memory.
        heads: Attention heads; divides `channels`.
        hidden: Hidden channels of the feed-forward layers.
        position_rows: Rows of the stored position tables; longer sequences work too.
    """

    num_speakers: int = 2
    channels: int = 128
    kernel_size: int = 16
    segment: int = 150
    blocks: int = 2
    segment_layers: int = 8
    memory_layers: int = 8
    heads: int = 8
    hidden: int = 1024
    position_rows: int = 100_000

    def __post_init__(self) -> None:
        check_sizes(self, kernel_size=2)
        if self.channels % self.heads:
            raise ValueError(f"channels must be a multiple of heads: {self.channels}")


class Network(nn.Module):
    """RE-SepFormer: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.channels, config.kernel_size)
        self.masknet = Masker(config)
        self.decoder = nn.ConvTranspose1d(config.channels, 1, config.kernel_size, bias=False)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]` of any length ≥ 1."""
        filters = self.encoder.conv1d.weight, self.decoder.weight
        return mask_mixture(mixture, self.masknet.model, *filters, self.config.kernel_size // 2)


class Masker(nn.Module):
    """Only a name in the published keys."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.model = Model(config)


class Model(nn.Module):
    """Features `[batch, frames, channels]` → masks `[batch, frames, speakers, channels]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim = config.channels
        self.config = config
        inside = [Block(config, config.segment_layers) for _ in range(config.blocks)]
        memory = [Block(config, config.memory_layers) for _ in range(config.blocks - 1)]
        self.seg_model = nn.ModuleList(inside)
        self.mem_model = nn.ModuleList(memory)
        last = nn.Conv1d(dim, dim * config.num_speakers, 1)
        self.output_fc = nn.Sequential(nn.PReLU(), last)

    def forward(self, features: Tensor) -> Tensor:
        """Return masks, `[batch, frames, speakers, channels]`."""
        # B: batch, L: frames, N: channels, S: segments, K: frames of a segment, C: speakers
        batch, frames, dim = features.shape
        length = self.config.segment
        # as published: a whole segment of zeros where the frames fit exactly
        padded = F.pad(features, (0, 0, 0, length - frames % length))
        segments = padded.view(-1, length, dim)  # [B*S, K, N]
        for index, inside in enumerate(self.seg_model):
            segments = inside(segments)
            if index < len(self.mem_model):
                memory = self.mem_model[index](segments.mean(1).view(batch, -1, dim))  # [B, S, N]
                segments = segments + memory.view(-1, 1, dim)
        merged = segments.view(batch, -1, dim)[:, :frames]  # [B, L, N]
        activation, last = self.output_fc
        masks = pointwise(activation(merged), last).relu()
        masks = masks.view(batch, frames, dim, -1)  # the speaker runs fastest
        return masks.transpose(2, 3)  # [B, L, C, N]


class Block(Transformer):
    """A transformer, a norm over each sequence, and a skip; `[batch, time, channels]`."""

    def __init__(self, config: Config, num_layers: int) -> None:
        super().__init__(
            num_layers,
            config.channels,
            config.heads,
            config.hidden,
            position_rows=config.position_rows,
        )
        self.norm = GlobalNorm((config.channels, 1), EPS)

    def forward(self, sequences: Tensor) -> Tensor:
        """Return `[batch, time, channels]` for the same."""
        normed: Tensor = self.norm(super().forward(sequences), residual=sequences)
        return normed
