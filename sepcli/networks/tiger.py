"""TIGER: bands of a spectrum, refined in turn across frequency and across time, and masked.

Xu, Li, Chen, Hu, "TIGER: Time-frequency Interleaved Gain Extraction and Reconstruction for
Efficient Speech Separation", ICLR 2025, https://arxiv.org/abs/2410.01469, figures 2 to 4.

Layout: `[batch, band, frame, channel]`. Across frequency every frame is a row of the U block,
across time every band is; rows are independent, so without gradients they go through in tiles that
stay in the processor's cache. The speakers' masks add up to one, so the estimates add up to the
mixture.

Deviation: inputs shorter than the window's half, which it cannot mirror, are extended by zeros.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.ublock import (
    ConvNorm,
    UBlock,
    child,
    children,
    depthwise,
    group_norm,
    normalise,
    pointwise,
)

CHANNEL_EPS = 1e-5
BAND_EPS = torch.finfo(torch.float32).eps
TILE = 1 << 18
"""Hidden features of the U block that are worked on at once: a megabyte a map."""
QUERIES = 1024
"""Frames whose attention is worked on at once, so that memory does not grow with their square."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of TIGER; the defaults are those of the published speech network at 16 kHz.

    Attributes:
        num_speakers: Number of estimates <C>.
        window: Length of the Fourier transform [samples].
        stride: Distance of frames [samples].
        bands: Width of each band, from low to high [bins]; they sum to `window // 2 + 1` <G_k>.
        channels: Channels of a band <N>.
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
        object.__setattr__(self, "bands", tuple(self.bands))
        if sum(self.bands) != self.window // 2 + 1:
            raise ValueError(f"bands must sum to {self.window // 2 + 1}: {sum(self.bands)}")


class ChannelNorm(nn.Module):
    """Normalisation over the channels of each band and frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return `[..., channel]`."""
        weight, bias = self.gamma.flatten(), self.beta.flatten()
        return F.layer_norm(features, weight.shape, weight, bias, CHANNEL_EPS)


class Mlp(nn.Module):
    """What refines the coarsest scale; it has no residual, as published."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = ConvNorm(channels, channels, group_norm, bias=False)
        self.dwconv = nn.Conv1d(channels, channels, 5, 1, 2, groups=channels)
        self.fc2 = ConvNorm(channels, channels, group_norm, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[row, time, channel]`."""
        wide = normalise(pointwise(features, self.fc1.conv), self.fc1.norm)
        seen = depthwise(wide, self.dwconv).relu()
        return normalise(pointwise(seen, self.fc2.conv), self.fc2.norm)


class Block(UBlock):
    """TIGER's U block: multi-scale selective attention."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.channels, config.hidden, config.depth, group_norm)
        self.globalatt = Mlp(config.hidden)

    def refine(self, coarse: Tensor, prepared: tuple[Tensor, ...]) -> Tensor:
        """Return the global features, `[row, coarse time, hidden]`."""
        refined: Tensor = self.globalatt(coarse)
        return refined

    def forward(self, features: Tensor, prepared: tuple[Tensor, ...] = ()) -> Tensor:
        """Return the features plus what the block found, `[row, time, channel]`."""
        tile = max(1, TILE // (features.shape[1] * self.res_conv.in_channels))
        if torch.is_grad_enabled() or tile >= features.shape[0]:
            return super().forward(features)
        return torch.cat([super(Block, self).forward(rows) for rows in torch.split(features, tile)])


class Projection(nn.Module):
    """Parameters of a linear map, its rectifier and its normalisation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)
        self.act = nn.PReLU()
        self.norm = ChannelNorm(outputs)


class Attention(nn.Module):
    """Full-band attention: one element is a whole band or frame, with all that it holds."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels, heads = config.channels, config.heads
        self.Queries = nn.ModuleList(Projection(channels, config.query) for _ in range(heads))
        self.Keys = nn.ModuleList(Projection(channels, config.query) for _ in range(heads))
        self.Values = nn.ModuleList(Projection(channels, channels // heads) for _ in range(heads))
        self.attn_concat_proj = Projection(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, element, position, channel]`, attended over the elements."""
        queries, keys, values = (
            self.project(features, projections).flatten(3)
            for projections in (self.Queries, self.Keys, self.Values)
        )  # [batch, head, element, position * channel of a head]
        scale = queries.shape[3] ** -0.5
        seen = torch.cat(
            [
                torch.softmax(some * scale @ keys.transpose(2, 3), 3) @ values
                for some in torch.split(queries, QUERIES, 2)
            ],
            2,
        )
        batch, elements, places, channels = features.shape
        heads = seen.view(batch, len(self.Values), elements, places, -1).permute(0, 2, 3, 1, 4)
        joined = heads.reshape(batch, elements * places, channels)
        last = self.attn_concat_proj
        active = F.prelu(pointwise(joined, last.conv), last.act.weight)
        normed: Tensor = last.norm(active)
        return features + normed.reshape(features.shape)

    def project(self, features: Tensor, projections: nn.ModuleList) -> Tensor:
        """Return every head's map of the features, `[batch, head, element, position, channel]`."""
        mapped = []
        for projection in children(projections, Projection):
            linear = pointwise(features.flatten(1, 2), projection.conv)
            active = F.prelu(linear, projection.act.weight)
            mapped.append(projection.norm(active).reshape(*features.shape[:3], -1))
        return torch.stack(mapped, 1)


class Separator(nn.Module):
    """Across frequency, across time, and again, with the same weights (figure 3)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.repeats = config.repeats
        channels = config.channels
        parts = [
            nn.ModuleList([Block(config), Attention(config), ChannelNorm(channels)])
            for _ in range(2)
        ]
        self.freq_path, self.frame_path = parts
        self.concat_block = nn.Sequential(
            nn.Conv2d(channels, channels, 1, groups=channels), nn.PReLU()
        )

    def forward(self, bands: Tensor) -> Tensor:
        """Return the refined features, `[batch, band, frame, channel]`."""
        mix, rectify = child(self.concat_block, 0, nn.Conv2d), child(self.concat_block, 1, nn.PReLU)
        assert mix.bias is not None
        refined = self.interleave(bands)
        for _ in range(self.repeats - 1):
            mixed = torch.addcmul(mix.bias, bands + refined, mix.weight.flatten())
            refined = self.interleave(F.prelu(mixed, rectify.weight))
        return refined

    def interleave(self, bands: Tensor) -> Tensor:
        """Return the features after one pass across frequency and one across time."""
        block, attend, norm = self.freq_path
        frames = bands.transpose(1, 2)
        across = block(frames.flatten(0, 1)).reshape(frames.shape).transpose(1, 2)
        bands = bands + norm(attend(across.contiguous()))
        block, attend, norm = self.frame_path
        along = block(bands.flatten(0, 1)).reshape(bands.shape).transpose(1, 2)
        added: Tensor = bands + norm(attend(along.contiguous())).transpose(1, 2)
        return added


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
        # B batch, S speakers, K bins, F frames
        config, time = self.config, mixture.shape[1]
        short = max(0, config.window // 2 + 1 - time)
        window = torch.hann_window(config.window, dtype=mixture.dtype, device=mixture.device)
        spectrum = torch.stft(
            F.pad(mixture, (0, short)),
            config.window,
            config.stride,
            window=window,
            return_complex=True,
        )  # [B, K, F]
        masks = self.masks(self.separator(self.split(spectrum)))  # [B, S, K, F]
        masked = (spectrum.unsqueeze(1) * masks).flatten(0, 1)
        estimates = torch.istft(
            masked, config.window, config.stride, window=window, length=time + short
        )
        return estimates.view(-1, config.num_speakers, time + short)[:, :, :time]

    def split(self, spectrum: Tensor) -> Tensor:
        """Return the bands' features, `[batch, band, frame, channel]`."""
        bands = []
        parts = torch.split(spectrum, list(self.config.bands), 1)
        for part, band in zip(parts, self.BN, strict=True):
            stacked = torch.cat([part.real, part.imag], 1).transpose(1, 2)
            normed = normalise(stacked, child(band, 0, nn.GroupNorm))
            bands.append(pointwise(normed, child(band, 1, nn.Conv1d)))
        return torch.stack(bands, 1)

    def masks(self, bands: Tensor) -> Tensor:
        """Return complex masks that add up to 1, `[batch, speakers, bin, frame]`."""
        speakers = self.config.num_speakers
        parts = []
        for band, mask in zip(bands.unbind(1), self.mask, strict=True):
            active = child(mask, 0, nn.PReLU)(band)
            raw: Tensor = child(mask, 1, nn.Conv1d)(active.transpose(1, 2))
            value, gate = raw.view(len(raw), 2, 2, speakers, -1, raw.shape[2]).unbind(1)
            parts.append(value * gate.sigmoid())
        real, imaginary = torch.cat(parts, 3).unbind(1)
        real = real - (real.sum(1, keepdim=True) - 1) / speakers
        imaginary = imaginary - imaginary.mean(1, keepdim=True)
        return torch.complex(real, imaginary)
