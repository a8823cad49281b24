"""TIGER: bands of a spectrum, refined in turn across frequency and across time, and masked.

Xu, Li, Chen, Hu, "TIGER: Time-frequency Interleaved Gain Extraction and Reconstruction for
Efficient Speech Separation", ICLR 2025, https://arxiv.org/abs/2410.01469, figures 2 to 4.

Layout: `[batch, row, place, channel]`. Across frequency a row is a frame and its places are the
bands; across time they are exchanged. The speakers' masks add up to one, so the estimates add up to
the mixture.

Deviation: inputs shorter than the window's half, which it cannot mirror, are extended by zeros.

Letters in comments: B batch, S speakers, F bins, T frames, K bands, N channels, A heads, E channels
of a query, R rows, P places.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.networks.layers import check_sizes, depthwise, pointwise
from sepcli.networks.layers.ublock import ConvNorm, UBlock, group_norm

CHANNEL_EPS = 1e-5
BAND_EPS = torch.finfo(torch.float32).eps


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of TIGER; the defaults are those of the published speech network at 16 kHz.

    Attributes:
        num_speakers: Number of estimates <C>.
        window: Length of the Fourier transform [samples].
        stride: Distance of frames [samples], less than `window`.
        bands: Width of each band, from low to high [bins]; they sum to `window // 2 + 1` <G_k>.
        channels: Channels of a band, a multiple of `num_speakers` <N>.
        hidden: Channels inside a U block.
        depth: Scales of a U block, at least 2 <D>.
        repeats: Times the separator is applied <B>.
        heads: Attention heads; divides `channels` <A>.
        query: Channels of a head's queries and keys <E>.
    """

    num_speakers: int = 2
    window: int = 640
    stride: int = 160
    bands: tuple[int, ...] = (1,) * 40 + (4,) * 10 + (10,) * 8 + (20,) * 8 + (1,)
    channels: int = 128
    hidden: int = 256
    depth: int = 5
    repeats: int = 8
    heads: int = 4
    query: int = 4

    def __post_init__(self) -> None:
        check_sizes(self, hidden=2, depth=2)
        if self.stride >= self.window:  # each sample is to be in some window
            raise ValueError(f"stride must be less than window: {self.stride}")
        for name in ("heads", "num_speakers"):
            if self.channels % getattr(self, name):
                raise ValueError(f"{name} must divide channels: {getattr(self, name)}")
        if sum(self.bands) != self.window // 2 + 1:
            raise ValueError(f"bands must sum to {self.window // 2 + 1}: {sum(self.bands)}")


class Network(nn.Module):
    """TIGER: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        channels, speakers = config.channels, config.num_speakers
        self.BN = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(1, 2 * width, BAND_EPS), nn.Conv1d(2 * width, channels, 1))
            for width in config.bands
        )
        self.separator = Separator(config)
        self.mask = nn.ModuleList(
            nn.Sequential(nn.PReLU(), nn.Conv1d(channels, 4 * speakers * width, 1, groups=speakers))
            for width in config.bands
        )

    def forward(self, mixture: Tensor) -> Tensor:
        """Return the estimates, `[batch, time]` → `[batch, speakers, time]`."""
        config, time = self.config, mixture.shape[1]
        short = max(0, config.window // 2 + 1 - time)
        window = torch.hann_window(config.window, dtype=mixture.dtype, device=mixture.device)
        spectrum = torch.stft(
            F.pad(mixture, (0, short)),
            config.window,
            config.stride,
            window=window,
            return_complex=True,
        )  # [B, F, T]
        masks = self.masks(self.separator(self.split(spectrum)))  # [B, S, F, T]
        masked = (spectrum.unsqueeze(1) * masks).flatten(0, 1)
        estimates = torch.istft(
            masked, config.window, config.stride, window=window, length=time + short
        )
        return estimates.view(-1, config.num_speakers, time + short)[:, :, :time]

    def split(self, spectrum: Tensor) -> Tensor:
        """Return the bands' features, `[batch, frame, band, channel]` (figure 2, band split)."""
        parts = torch.split(spectrum, list(self.config.bands), 1)  # each [B, G_k, T]
        bands = [
            band(torch.cat([part.real, part.imag], 1))  # [B, N, T]
            for part, band in zip(parts, self.BN, strict=True)
        ]
        return torch.stack(bands, 3).permute(0, 2, 3, 1).contiguous()  # [B, T, K, N]

    def masks(self, frames: Tensor) -> Tensor:
        """Return complex masks that add up to 1, `[batch, speakers, bin, frame]`."""
        speakers = self.config.num_speakers
        parts = []
        for band, mask in zip(frames.unbind(2), self.mask, strict=True):
            raw = mask(band.transpose(1, 2))  # [B, 2 * 2 * S * G_k, T]
            value, gate = raw.view(len(raw), 2, 2, speakers, -1, raw.shape[2]).unbind(1)
            parts.append(value * gate.sigmoid())  # [B, 2, S, G_k, T]
        joined = torch.cat(parts, 3)  # [B, 2, S, F, T]
        if joined.dtype in (torch.bfloat16, torch.float16):  # there are no complex numbers of these
            joined = joined.float()
        real, imaginary = joined.unbind(1)
        real = real - (real.sum(1, keepdim=True) - 1) / speakers
        imaginary = imaginary - imaginary.mean(1, keepdim=True)
        return torch.complex(real, imaginary)


class Separator(nn.Module):
    """Across frequency, across time, and again, with the same weights (figure 3)."""

    concat_block: Any  # a convolution of kernel 1 for each channel by itself, and a PReLU

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.repeats = config.repeats
        channels = config.channels
        self.freq_path, self.frame_path = Path(config), Path(config)
        self.concat_block = nn.ModuleList(
            [nn.Conv2d(channels, channels, 1, groups=channels), nn.PReLU()]
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Return the refined features, `[batch, frame, band, channel]`."""
        mix, rectify = self.concat_block
        refined: Tensor = self.frame_path(self.freq_path(frames))
        for _ in range(self.repeats - 1):
            mixed = depthwise((frames + refined).flatten(0, 1), mix.weight.squeeze(3), mix.bias)
            refined = self.frame_path(self.freq_path(rectify(mixed).view(frames.shape)))
        return refined


class Path(nn.ModuleList):
    """A U block over the places of each row, attention among the places, and a skip (figure 3)."""

    def __init__(self, config: Config) -> None:
        super().__init__([Block(config), Attention(config), ChannelNorm(config.channels)])

    def forward(self, features: Tensor) -> Tensor:
        """Return the refined features with rows and places exchanged, `[batch, place, row, N]`."""
        block, attention, norm = self
        found = block(features.flatten(0, 1)).view(features.shape)  # [B, R, P, N]
        refined: Tensor = norm(attention(found.transpose(1, 2))) + features.transpose(1, 2)
        return refined.contiguous()


class Block(UBlock):
    """TIGER's U block: multi-scale selective attention."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.channels, config.hidden, config.depth, group_norm)
        self.globalatt = Mlp(config.hidden)

    def refine(self, coarse: Tensor, *shared: Tensor) -> Tensor:
        """Return the global features, `[row, coarse time, hidden]`."""
        refined: Tensor = self.globalatt(coarse)
        return refined


class Mlp(nn.Module):
    """What refines the coarsest scale; it has no residual, as published."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = ConvNorm(channels, channels, group_norm, bias=False)
        self.dwconv = nn.Conv1d(channels, channels, 5, 1, 2, groups=channels)
        self.fc2 = ConvNorm(channels, channels, group_norm, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[row, time, channel]`."""
        seen = depthwise(self.fc1(features), self.dwconv.weight, self.dwconv.bias)
        refined: Tensor = self.fc2(seen.relu())
        return refined


class Attention(nn.Module):
    """Attention among places, each with all of its rows at once (figure 4, F3A)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels, heads = config.channels, config.heads
        self.Queries = nn.ModuleList(Projection(channels, config.query) for _ in range(heads))
        self.Keys = nn.ModuleList(Projection(channels, config.query) for _ in range(heads))
        self.Values = nn.ModuleList(Projection(channels, channels // heads) for _ in range(heads))
        self.attn_concat_proj = Projection(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, place, row, channel]` for the same."""
        query, key, value = (
            torch.stack([head(features).flatten(2) for head in heads], 1)
            for heads in (self.Queries, self.Keys, self.Values)
        )  # [B, A, P, R * E] twice and [B, A, P, R * N / A]
        attended = F.scaled_dot_product_attention(query, key, value)  # [B, A, P, R * N / A]
        rows = attended.view(*attended.shape[:3], features.shape[2], -1)  # [B, A, P, R, N / A]
        joined = rows.permute(0, 2, 3, 1, 4).flatten(3)  # [B, P, R, N]
        summed: Tensor = features + self.attn_concat_proj(joined)
        return summed


class Projection(nn.Module):
    """A linear map, its rectifier and its norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)
        self.act = nn.PReLU()
        self.norm = ChannelNorm(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[..., outputs]` for `[..., inputs]`."""
        normed: Tensor = self.norm(pointwise(features, self.conv, prelu=self.act))
        return normed


class ChannelNorm(nn.Module):
    """Norm over the channels of each place and row."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return `[..., channel]`."""
        weight, bias = self.gamma.flatten(), self.beta.flatten()
        return F.layer_norm(features, weight.shape, weight, bias, CHANNEL_EPS)
