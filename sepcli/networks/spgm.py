"""SPGM: local transformers with single-path global modulation.

Follows "SPGM: Prioritizing Local Features for enhanced speech separation performance" (Yip et al.,
ICASSP 2024, https://arxiv.org/abs/2309.12608), figures 1 and 2, and the checkpoints published with
it. Of SepFormer's blocks it keeps the transformer inside segments; instead of the transformer
across segments, a block pools all segments to one vector that scales every feature.

Deviation: pooling is done for each row of a batch by itself (the published code pools across rows).

Letters in comments: B batch, L frames, S segments, K frames of one, N channels.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers import (
    DualPathMasker,
    Encoder,
    GlobalNorm,
    Transformer,
    check_sizes,
    linear,
    mask_mixture,
)

EPS = 1e-8  # of the norms over a whole recording
POSITION_ROWS = 2500  # of the position tables in published checkpoints


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes and choices of the network; the defaults are those of the paper.

    Attributes:
        num_speakers: Number of estimates `<C>`.
        channels: Channels of the encoder and the masker `<N>`.
        kernel_size: Length of an encoder frame [samples] `<L>`; frames are half of it apart.
        segment: Length of a segment [frames] `<K>`, even.
        blocks: Blocks of a transformer and a modulation `<R>`.
        layers: Transformer layers in a block.
        heads: Attention heads; divides `channels`.
        hidden: Hidden channels of the feed-forward layers.
        pool: How a segment becomes one vector: by weights from its features, the mean, the largest
            value, or the last frame (LEM in the paper).
        pool_hidden: Hidden channels of the map to pooling weights; none for a single linear map.
        norm: Over a whole recording, with parameters as vectors ("global") or as the published
            code's other global norm stores them ("global-wide"), or over each frame ("frame").
        norm_first: Normalise what goes into a branch of a transformer layer, else the sum after it.
        positions: Add positions to what a transformer sees.
        skip: Add the input of a block to what its transformer gives.
        extra_linear: Linear maps after the transformer and the modulation.
    """

    num_speakers: int = 2
    channels: int = 256
    kernel_size: int = 16
    segment: int = 250
    blocks: int = 4
    layers: int = 8
    heads: int = 8
    hidden: int = 1024
    pool: Literal["attention", "mean", "max", "last"] = "attention"
    pool_hidden: int | None = None
    norm: Literal["global", "global-wide", "frame"] = "global"
    norm_first: bool = True
    positions: bool = True
    skip: bool = True
    extra_linear: bool = False

    def __post_init__(self) -> None:
        check_sizes(self, kernel_size=2)
        if self.channels % self.heads:
            raise ValueError(f"channels must be a multiple of heads: {self.channels}")
        if self.segment % 2:
            raise ValueError(f"segment must be even: {self.segment}")


class Network(nn.Module):
    """SPGM: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.channels, config.kernel_size)
        self.masknet = DualPathMasker(
            Norm(config, trailing=1),
            [Block(config) for _ in range(config.blocks)],
            num_speakers=config.num_speakers,
            features=config.channels,
            channels=config.channels,
            length=config.segment,
        )
        self.decoder = nn.ConvTranspose1d(config.channels, 1, config.kernel_size, bias=False)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]` of any length ≥ 1."""
        filters = self.encoder.conv1d.weight, self.decoder.weight
        return mask_mixture(mixture, self.masknet, *filters, self.config.kernel_size // 2)


class Block(nn.Module):
    """A transformer inside segments, then the global modulation; `[B, S, K, N]` → the same."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim = config.channels
        self.skip = config.skip
        self.intra_mdl = Transformer(
            config.layers,
            dim,
            config.heads,
            config.hidden,
            norm_first=config.norm_first,
            position_rows=POSITION_ROWS if config.positions else 0,
        )
        self.inter_mdl = Modulation(config)
        self.intra_norm = Norm(config, trailing=2)
        self.inter_norm = Norm(config, trailing=2)
        self.intra_linear = ExtraLinear(dim) if config.extra_linear else None
        self.inter_linear = ExtraLinear(dim) if config.extra_linear else None

    def forward(self, segments: Tensor) -> Tensor:
        """Return `[batch, segments, length, channels]` for the same."""
        local = self.intra_mdl(segments.flatten(0, 1)).view(segments.shape)  # [B, S, K, N]
        if self.intra_linear is not None:
            local = self.intra_linear(local)
        local = self.intra_norm(local, residual=segments if self.skip else None)
        modulated = self.inter_mdl(local)  # [B, S, K, N]
        if self.inter_linear is not None:
            modulated = self.inter_linear(modulated)
        normed: Tensor = self.inter_norm(modulated, residual=local)
        return normed


class Modulation(nn.Module):
    """Scales every channel by what all segments of a row, pooled to one vector v, say (figure 2).

    x' = sigmoid(W_s v + b_s) * x + (W_g v + b_g) * x, for every frame x.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim = config.channels
        self.kind = config.pool
        if config.pool == "attention":
            self.pool = Pool(dim, config.pool_hidden)
        self.s_lin = nn.Linear(dim, dim)
        self.g_lin = nn.Linear(dim, dim)

    def forward(self, segments: Tensor) -> Tensor:
        """Return `[batch, segments, length, channels]` for the same."""
        pooled: Tensor  # [B, S, N]
        if self.kind == "attention":
            pooled = self.pool(segments)
        elif self.kind == "mean":
            pooled = segments.mean(2)
        elif self.kind == "max":
            pooled = segments.amax(2)
        else:
            pooled = segments[:, :, -1]
        vector = pooled.mean(1)  # [B, N]
        gain = torch.sigmoid(self.s_lin(vector)) + self.g_lin(vector)  # [B, N]
        modulated: Tensor = segments * gain[:, None, None]  # [B, S, K, N]
        return modulated


class Pool(nn.Module):
    """Weighted mean over the frames of each segment; keys `model.linear1` and `model.linear2`."""

    def __init__(self, dim: int, hidden: int | None) -> None:
        super().__init__()
        self.model = nn.ModuleDict({"linear1": nn.Linear(dim, hidden or 1)})
        if hidden:
            self.model["linear2"] = nn.Linear(hidden, 1)

    def forward(self, segments: Tensor) -> Tensor:
        """Return `[batch, segments, channels]` for `[batch, segments, length, channels]`."""
        scores = self.model["linear1"](segments)  # [B, S, K, 1 or hidden]
        if "linear2" in self.model:
            scores = self.model["linear2"](F.relu(scores))  # [B, S, K, 1]
        weights = scores.softmax(2).transpose(2, 3)  # [B, S, 1, K]
        pooled: Tensor = (weights @ segments).squeeze(2)  # [B, S, N]
        return pooled


class Norm(GlobalNorm):
    """The norm that `Config.norm` names, over `[batch, ..., channels]`."""

    def __init__(self, config: Config, trailing: int) -> None:
        wide = config.norm == "global-wide"
        super().__init__((config.channels, *[1] * (trailing if wide else 0)), EPS)
        self.per_frame = config.norm == "frame"

    def forward(self, features: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return normalised features, plus `residual` of the same shape."""
        if not self.per_frame:
            return super().forward(features, residual)
        normed = F.layer_norm(features, self.gain.shape, self.gain, self.offset, EPS)
        return normed if residual is None else normed + residual


class ExtraLinear(nn.Module):
    """A linear map; keys `w.weight` and `w.bias`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.w = nn.Linear(dim, dim)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[..., dim]` for `[..., dim]`."""
        return linear(features, self.w.weight, self.w.bias)
