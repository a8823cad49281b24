"""SepFormer: transformers inside segments and across them.

Follows "Attention is all you need in speech separation" (Subakan et al., ICASSP 2021,
https://arxiv.org/abs/2010.13154), figures 1 and 2 and equations 1 to 11, and the checkpoints
published with it.

Deviation: positions go on beyond the stored table, so there is no longest recording.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from sepcli.networks.layers import (
    DualPathMasker,
    Encoder,
    GlobalNorm,
    Transformer,
    check_sizes,
    mask_mixture,
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
        check_sizes(self, kernel_size=2)
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
        self.encoder = Encoder(config.encoder_channels, config.kernel_size)
        self.masknet = DualPathMasker(
            GlobalNorm((config.encoder_channels,), EPS),
            [Block(config) for _ in range(config.blocks)],
            num_speakers=config.num_speakers,
            features=config.encoder_channels,
            channels=config.channels,
            length=config.segment,
        )
        filters = (config.encoder_channels, 1, config.kernel_size)
        self.decoder = nn.ConvTranspose1d(*filters, bias=False)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]` of any length ≥ 1."""
        weights = self.encoder.conv1d.weight, self.decoder.weight
        return mask_mixture(mixture, self.masknet, *weights, self.config.kernel_size // 2)


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
        self.intra_norm = GlobalNorm((dim,), EPS)
        self.inter_norm = GlobalNorm((dim,), EPS)

    def forward(self, segments: Tensor) -> Tensor:
        """Return `[batch, segments, length, channels]` for the same."""
        batch, count, length, dim = segments.shape
        inside = self.intra_mdl(segments.flatten(0, 1)).view(segments.shape)
        inside = self.intra_norm(inside, residual=segments)
        across = self.inter_mdl(inside.transpose(1, 2).flatten(0, 1))
        across = across.view(batch, length, count, dim).transpose(1, 2)
        normed: Tensor = self.inter_norm(across, residual=inside)
        return normed
