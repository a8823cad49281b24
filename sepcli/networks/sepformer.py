"""SepFormer: transformers inside segments and across them.

Follows "Attention is all you need in speech separation" (Subakan et al., ICASSP 2021,
https://arxiv.org/abs/2010.13154), figures 1 and 2 and equations 1 to 11, and the checkpoints
published with it.

Deviations: positions go on beyond the stored table, so there is no longest recording; the 1×1
convolution to the speakers' features runs after the segments are merged instead of before, which
is the same sum with half the work.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from sepcli.layers import (
    Transformer,
    decode,
    encode,
    gated_masks,
    global_norm,
    half_overlap_padding,
    linear,
    merge,
    segment,
)

EPS = 1e-8  # of the norms over a whole recording
POSITION_ROWS = 2500  # of the position tables in published checkpoints


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of the network; the defaults are those of the paper.

    Attributes:
        num_speakers: Number of estimates `<Ns>`.
        encoder_channels: Channels of the encoder `<F>`.
        channels: Channels of the masker.
        kernel_size: Length of an encoder frame [samples]; frames are half of it apart.
        segment: Length of a segment [frames] `<C>`, even.
        blocks: Pairs of transformers `<N>`.
        segment_layers: Layers of the transformer inside segments `<K>`.
        segment_heads: Its attention heads; divides `channels`.
        segment_hidden: Hidden channels of its feed-forward layers.
        across_layers: Layers of the transformer across segments `<K>`.
        across_heads: Its attention heads; divides `channels`.
        across_hidden: Hidden channels of its feed-forward layers.
    """

    num_speakers: int = 2
    encoder_channels: int = 256
    channels: int = 256
    kernel_size: int = 16
    segment: int = 250
    blocks: int = 2
    segment_layers: int = 8
    segment_heads: int = 8
    segment_hidden: int = 1024
    across_layers: int = 8
    across_heads: int = 8
    across_hidden: int = 1024

    def __post_init__(self) -> None:
        for heads in (self.segment_heads, self.across_heads):
            if self.channels % heads:
                raise ValueError(f"channels must be a multiple of heads: {self.channels}")
        if self.segment % 2:
            raise ValueError(f"segment must be even: {self.segment}")


class Network(nn.Module):
    """SepFormer: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.masknet = Masker(config)
        filters = (config.encoder_channels, 1, config.kernel_size)
        self.decoder = nn.ConvTranspose1d(*filters, bias=False)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]` of any length ≥ 1."""
        # B: batch, T: time, L: frames, F: encoder channels, C: speakers
        stride = self.config.kernel_size // 2
        features = encode(mixture, self.encoder.conv1d.weight, stride)  # [B, L, F]
        masked = self.masknet(features) * features.unsqueeze(2)  # [B, L, C, F]
        return decode(masked, self.decoder.weight, stride, mixture.shape[-1])  # [B, C, T]


class Encoder(nn.Module):
    """Holds the filters of the encoder."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(1, config.encoder_channels, config.kernel_size, bias=False)


class Masker(nn.Module):
    """Features `[batch, frames, F]` → masks `[batch, frames, speakers, F]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        outer, dim = config.encoder_channels, config.channels
        self.config = config
        self.norm = nn.GroupNorm(1, outer, EPS)
        self.conv1d = nn.Conv1d(outer, dim, 1, bias=False)
        self.dual_mdl = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.conv2d = nn.Conv2d(dim, dim * config.num_speakers, 1)
        self.end_conv1x1 = nn.Conv1d(dim, outer, 1, bias=False)
        self.prelu = nn.PReLU()
        self.output = nn.Sequential(nn.Conv1d(dim, dim, 1))
        self.output_gate = nn.Sequential(nn.Conv1d(dim, dim, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return masks, `[batch, frames, speakers, F]`."""
        # B: batch, L: frames, N: channels, S: segments, K: frames of a segment, C: speakers
        batch, frames, _ = features.shape
        length, hop = self.config.segment, self.config.segment // 2
        before, after = half_overlap_padding(frames, length)
        features = global_norm(features, self.norm.weight, self.norm.bias, EPS)
        features = linear(features, self.conv1d.weight.squeeze(-1))  # [B, L, N]
        segments = segment(features, length, hop, before, after)  # [B, S, K, N]
        for block in self.dual_mdl:
            segments = block(segments)
        merged = merge(self.prelu(segments), hop, before, frames)  # [B, L, N]
        weight, bias = self.conv2d.weight.flatten(1), self.conv2d.bias
        assert bias is not None
        split = linear(merged, weight, 2 * bias)  # every frame is in two segments
        split = split.view(batch, frames, self.config.num_speakers, -1)  # [B, L, C, N]
        return gated_masks(split, self.output[0], self.output_gate[0], self.end_conv1x1.weight)


class Block(nn.Module):
    """A transformer inside segments, then one across them; `[B, S, K, N]` → the same."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim = config.channels
        self.intra_mdl = Transformer(
            config.segment_layers,
            dim,
            config.segment_heads,
            config.segment_hidden,
            position_rows=POSITION_ROWS,
        )
        self.inter_mdl = Transformer(
            config.across_layers,
            dim,
            config.across_heads,
            config.across_hidden,
            position_rows=POSITION_ROWS,
        )
        self.intra_norm = nn.GroupNorm(1, dim, EPS)
        self.inter_norm = nn.GroupNorm(1, dim, EPS)

    def forward(self, segments: Tensor) -> Tensor:
        """Return `[batch, segments, length, channels]` for the same."""
        batch, count, length, dim = segments.shape
        first, second = self.intra_norm, self.inter_norm
        inside = self.intra_mdl(segments.flatten(0, 1)).view(segments.shape)
        inside = global_norm(inside, first.weight, first.bias, EPS, residual=segments)
        across = self.inter_mdl(inside.transpose(1, 2).flatten(0, 1))
        across = across.view(batch, length, count, dim).transpose(1, 2)
        return global_norm(across, second.weight, second.bias, EPS, residual=inside)
