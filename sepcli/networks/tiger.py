"""TIGER: bands of a spectrum, refined in turn across frequency and across time, and masked.

Xu, Li, Chen, Hu, "TIGER: Time-frequency Interleaved Gain Extraction and Reconstruction for
Efficient Speech Separation", ICLR 2025, https://arxiv.org/abs/2410.01469, figures 2 to 4.

Layout: `[batch, frame, band, channel]` across frequency, where every frame is a row of the U block
and every band an element of the attention after it, and frames and bands exchanged across time; a
path writes its answer in the layout that the next one reads. Rows are independent, so without
gradients they go through in tiles that stay in the processor's cache. The speakers' masks add up to
one, so the estimates add up to the mixture.

Deviation: inputs shorter than the window's half, which it cannot mirror, are extended by zeros.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.networks.layers import linear, pointwise
from sepcli.networks.layers.ublock import (
    ConvNorm,
    UBlock,
    child,
    children,
    depthwise,
    group_norm,
    normalise,
    rectify,
)

CHANNEL_EPS = 1e-5
BAND_EPS = torch.finfo(torch.float32).eps
TILE = 1 << 20
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

    def turned(self, features: Tensor) -> Tensor:
        """Return the features plus what the block found, rows and places exchanged.

        Args:
            features: `[batch, row, place, channel]`; the answer is `[batch, place, row, channel]`.
        """
        batch, rows, places, channels = features.shape
        if torch.is_grad_enabled():
            found: Tensor = self(features.flatten(0, 1))
            return found.view(features.shape).transpose(1, 2).contiguous()
        result = features.new_empty(batch, places, rows, channels)
        tile = max(1, TILE // (places * self.res_conv.in_channels))
        for one, out in zip(features, result.transpose(1, 2), strict=True):
            for start in range(0, rows, tile):
                out[start : start + tile] = self(one[start : start + tile])
        return result


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
        """Return `[batch, element, place, channel]`, attended over the elements."""
        keys, values = self.project(features, self.Keys), self.project(features, self.Values)
        queries = self.project(features, self.Queries) * keys[0, 0, 0].numel() ** -0.5
        result, last = torch.empty_like(features), self.attn_concat_proj
        for start, stop in spans(features, QUERIES):
            weights = torch.softmax(queries[:, :, start:stop] @ keys.transpose(2, 3), 3)
            seen = (weights @ values).view(*weights.shape[:3], features.shape[2], -1)
            joined = seen.permute(0, 2, 3, 1, 4).flatten(3)  # [batch, element, place, channel]
            normed = last.norm(pointwise(joined, last.conv, prelu=last.act))
            result[:, start:stop] = features[:, start:stop] + normed
        return result

    def project(self, features: Tensor, heads: nn.ModuleList) -> Tensor:
        """Return the maps of all heads, `[batch, head, element, place * channel]`.

        They are one product; each channel of it has the slope, gain and offset of its head.
        """
        parts = children(heads, Projection)
        width = parts[0].conv.out_channels
        weight, bias, slope, gain, offset = (
            torch.cat(each) for each in zip(*map(flat, parts), strict=True)
        )
        one, zero = torch.ones_like(gain[:width]), torch.zeros_like(gain[:width])
        batch, elements, places, _ = features.shape
        result = features.new_empty(batch, len(parts), elements, places, width)
        for start, stop in spans(features, elements):
            mapped = linear(features[:, start:stop].flatten(0, 2), weight, bias)
            active = F.prelu(mapped, slope).view(-1, len(parts), width)
            normed = F.layer_norm(active, (width,), one, zero, CHANNEL_EPS)
            scaled = torch.addcmul(offset, normed.flatten(1), gain)
            by_head = scaled.view(batch, stop - start, places, len(parts), width)
            result[:, :, start:stop] = by_head.permute(0, 3, 1, 2, 4)
        return result.flatten(3)


def flat(part: Projection) -> tuple[Tensor, ...]:
    """Return weight, bias, slope, gain and offset of a projection, by output channel."""
    bias = part.conv.bias
    assert bias is not None
    slope = part.act.weight.expand(len(bias))
    return (
        part.conv.weight.flatten(1),
        bias,
        slope,
        part.norm.gamma.flatten(),
        part.norm.beta.flatten(),
    )


def spans(features: Tensor, limit: int) -> list[tuple[int, int]]:
    """Return first and last + 1 of the elements to work on at once, at most `limit`.

    Without gradients they are few enough for what is computed on the way to stay in the cache,
    and enough for a matrix product.
    """
    batch, elements, places, channels = features.shape
    if not torch.is_grad_enabled():
        limit = min(limit, max(16, TILE // (batch * places * channels)))
    return [(start, min(start + limit, elements)) for start in range(0, elements, limit)]


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

    def forward(self, frames: Tensor) -> Tensor:
        """Return the refined features, `[batch, frame, band, channel]`."""
        mix, act = child(self.concat_block, 0, nn.Conv2d), child(self.concat_block, 1, nn.PReLU)
        assert mix.bias is not None
        refined = frames
        for repeat in range(self.repeats):
            if repeat:
                refined = torch.addcmul(mix.bias, frames + refined, mix.weight.flatten())
                refined = rectify(refined, act)
            for path in (self.freq_path, self.frame_path):
                # Each path exchanges frames and bands: a row of it is an element to the other.
                found = child(path, 0, Block).turned(refined)
                attended = child(path, 1, Attention)(found)
                refined = child(path, 2, ChannelNorm)(attended) + refined.transpose(1, 2)
        return refined


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
        """Return the bands' features, `[batch, frame, band, channel]`."""
        bands = []
        parts = torch.split(spectrum, list(self.config.bands), 1)
        for part, band in zip(parts, self.BN, strict=True):
            stacked = torch.cat([part.real, part.imag], 1).transpose(1, 2)
            normed = normalise(stacked, child(band, 0, nn.GroupNorm))
            bands.append(pointwise(normed, child(band, 1, nn.Conv1d)))
        return torch.stack(bands, 2)

    def masks(self, frames: Tensor) -> Tensor:
        """Return complex masks that add up to 1, `[batch, speakers, bin, frame]`."""
        speakers = self.config.num_speakers
        parts = []
        for band, mask in zip(frames.unbind(2), self.mask, strict=True):
            active = child(mask, 0, nn.PReLU)(band)
            raw: Tensor = child(mask, 1, nn.Conv1d)(active.transpose(1, 2))
            value, gate = raw.view(len(raw), 2, 2, speakers, -1, raw.shape[2]).unbind(1)
            parts.append(value * gate.sigmoid())
        joined = torch.cat(parts, 3)
        if joined.dtype in (torch.bfloat16, torch.float16):  # there are no complex numbers of these
            joined = joined.float()
        real, imaginary = joined.unbind(1)
        real = real - (real.sum(1, keepdim=True) - 1) / speakers
        imaginary = imaginary - imaginary.mean(1, keepdim=True)
        return torch.complex(real, imaginary)
