"""A transformer over the frames of a short-time Fourier transform that gives complex masks.

One token a frame, attention over time with rotary positions (RoFormer, Su et al., 2021,
https://arxiv.org/abs/2104.09864, section 3.2.2), as in "Music Source Separation with Band-Split
RoPE Transformer" (Lu et al., 2023, https://arxiv.org/abs/2309.02612) but with a single band.

Beside the tokens there may be frequency bands with a few channels each, all refined by the same
small layer over time. In each block a frame's token reads its bands and the bands read the token,
so bands talk to each other, and to other times, through it. Both give a mask; their sum is taken.

It is made to be trained on a processor without an accelerator: all of its work are dense matrix
products at 62.5 frames a second. Instead of convolutions, a token is made of three neighbour
frames, and a quarter of the channels that enter a feed-forward layer come from the frame before,
a quarter from the frame after.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers import check_sizes
from sepcli.networks.layers.fourier import analyse, sine_window, synthesise

# Keeps level and magnitude of silence from zero, far below the rounding of 16-bit recordings.
SILENCE = 1e-12


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of the network.

    Attributes:
        num_speakers: Number of estimates.
        window: Length of the Fourier transform [samples]; a multiple of `stride`.
        stride: Distance of frames [samples]; at most half of `window`.
        dim: Channels of a token; a multiple of 4.
        heads: Attention heads; `dim / heads` is even.
        hidden: Hidden channels of the feed-forward layers.
        num_blocks: Number of blocks.
        compression: Exponent of the magnitudes at the input; 1 for none.
        bands: Widths of the bands from the lowest on [bins of the Fourier transform]; empty for
            a network of tokens alone.
        band_channels: Channels of a band.
        band_hidden: Hidden channels of the layer that the bands share.
        guided: Whether the bands also hear what share of each bin first estimates give a speaker.
    """

    num_speakers: int = 2
    window: int = 256
    stride: int = 128
    dim: int = 160
    heads: int = 4
    hidden: int = 640
    num_blocks: int = 6
    compression: float = 0.5
    bands: tuple[int, ...] = ()
    band_channels: int = 24
    band_hidden: int = 64
    guided: bool = False

    def __post_init__(self) -> None:
        check_sizes(self)
        if min(self.bands, default=1) < 1:
            raise ValueError(f"bands must be 1 or more bins wide: {min(self.bands)}")
        if self.window % self.stride or self.window < 2 * self.stride or self.window % 2:
            raise ValueError(f"window must be an even multiple of stride: {self.window}")
        if self.dim < 4 or self.dim % 4 or self.dim % (2 * self.heads):
            raise ValueError(f"dim must be a multiple of 4 and of 2 * heads: {self.dim}")
        if self.bands and sum(self.bands) != self.window // 2 + 1:
            raise ValueError(f"bands must have window / 2 + 1 bins in all: {sum(self.bands)}")
        if self.guided and not self.bands:
            raise ValueError("only bands can be guided: there are none")


class Network(nn.Module):
    """Masking transformer: `[batch, time]` → `[batch, speakers, time]`."""

    window: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        block = BandBlock if config.bands else Block
        self.blocks = nn.ModuleList(block(config) for _ in range(config.num_blocks))
        self.masker = Masker(config)
        if config.bands:
            self.band_encoder = BandEncoder(config)
            self.band_masker = BandMasker(config)
        if config.guided:
            self.band_guide = BandGuide(config)
        self.register_buffer("window", sine_window(config.window, config.stride), persistent=False)

    def forward(self, mixture: Tensor, shares: Tensor | None = None) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]`, time ≥ 1.

        The scale of a row passes through to its estimates; nothing else of it is seen.

        Args:
            mixture: What is separated.
            shares: Of each speaker in each bin by first estimates, `[batch, speakers, frames,
                bins]`; what a guided network hears beside the mixture.
        """
        # B: batch, S: speakers, L: frames, F: bins, D: dim, K: bands, C: channels of a band
        level = (mixture.square().mean(-1, keepdim=True) + SILENCE).sqrt()
        spectrum = analyse(mixture / level, self.window, self.config.stride)  # [B, L, F]
        frames = neighbours(compressed(spectrum, self.config.compression))  # [B, L, 3, F, 2]
        tokens = self.encoder(frames)  # [B, L, D]
        rotation = rotary_table(tokens, self.config.dim // self.config.heads)
        if self.config.bands:
            bands = self.band_encoder(frames)  # [B, L, K, C]
            if shares is not None:
                bands = bands + self.band_guide(shares)
            for block in self.blocks:
                tokens, bands = block(tokens, bands, rotation)
            masks = self.masker(tokens) + self.band_masker(bands)  # [B, S, L, F]
        else:
            for block in self.blocks:
                tokens = block(tokens, rotation)
            masks = self.masker(tokens)  # [B, S, L, F]
        masked = masks * spectrum.unsqueeze(1)  # [B, S, L, F]
        estimates = synthesise(masked, self.window, self.config.stride, mixture.shape[-1])
        scaled: Tensor = estimates * level.unsqueeze(1)
        return scaled


class Encoder(nn.Module):
    """Tokens `[batch, frames, dim]`, each of a frame and its two neighbours."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 2 * (config.window // 2 + 1), config.dim)
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, frames: Tensor) -> Tensor:
        """Tokens from frames `[batch, frames, 3, bins, 2]`."""
        tokens: Tensor = self.norm(self.linear(frames.flatten(2)))
        return tokens


class Masker(nn.Module):
    """Complex masks `[batch, speakers, frames, bins]` from tokens `[batch, frames, dim]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.num_speakers = config.num_speakers
        self.norm = nn.LayerNorm(config.dim)
        self.linear = nn.Linear(config.dim, config.num_speakers * 2 * (config.window // 2 + 1))
        nn.init.normal_(self.linear.weight, std=0.5 / math.sqrt(config.dim))
        nn.init.zeros_(self.linear.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Complex masks, unbounded."""
        parts = self.linear(self.norm(tokens))
        if parts.dtype in (torch.bfloat16, torch.float16):  # there are no complex numbers of these
            parts = parts.float()
        parts = parts.unflatten(-1, (self.num_speakers, -1, 2)).transpose(1, 2).contiguous()
        return torch.view_as_complex(parts)


class BandEncoder(nn.Module):
    """Bands `[batch, frames, bands, channels]`, each of a frame and its two neighbours."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.runs = runs(config.bands)
        self.linears = nn.ModuleList(
            BandLinear(count, 3 * width * 2, config.band_channels) for count, width in self.runs
        )
        self.norm = nn.LayerNorm([len(config.bands), config.band_channels])

    def forward(self, frames: Tensor) -> Tensor:
        """Bands from frames `[batch, frames, 3, bins, 2]`."""
        parts = torch.split(frames, [count * width for count, width in self.runs], 3)
        bands = []
        for (count, width), linear, part in zip(self.runs, self.linears, parts, strict=True):
            own = part.reshape(*part.shape[:3], count, width, 2).transpose(2, 3)
            bands.append(linear(own.flatten(3)))  # [B, L, k, C]
        normed: Tensor = self.norm(torch.cat(bands, 2))
        return normed


class BandGuide(nn.Module):
    """What bands `[batch, frames, bands, channels]` hear of first estimates, nothing at first."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.runs = runs(config.bands)
        self.linears = nn.ModuleList(
            BandLinear(count, width * config.num_speakers, config.band_channels, std=0.0)
            for count, width in self.runs
        )
        self.equal_share = 1 / (config.num_speakers + 1)  # noise has one too

    def forward(self, shares: Tensor) -> Tensor:
        """From shares of the speakers `[batch, speakers, frames, bins]`."""
        centred = (shares - self.equal_share).permute(0, 2, 3, 1)  # [B, L, F, S]
        parts = torch.split(centred, [count * width for count, width in self.runs], 2)
        told = [
            linear(part.reshape(*part.shape[:2], count, -1))  # [B, L, k, C]
            for (count, _), linear, part in zip(self.runs, self.linears, parts, strict=True)
        ]
        return torch.cat(told, 2)


class BandMasker(nn.Module):
    """Complex masks `[batch, speakers, frames, bins]` from bands, nothing at first."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.num_speakers = config.num_speakers
        self.runs = runs(config.bands)
        self.norm = nn.LayerNorm([len(config.bands), config.band_channels])
        self.linears = nn.ModuleList(
            BandLinear(count, config.band_channels, config.num_speakers * width * 2, std=0.0)
            for count, width in self.runs
        )

    def forward(self, bands: Tensor) -> Tensor:
        """Complex masks, unbounded, from bands `[batch, frames, bands, channels]`."""
        parts = torch.split(self.norm(bands), [count for count, _ in self.runs], 2)
        masks = []
        for linear, part in zip(self.linears, parts, strict=True):
            mask = linear(part).float().unflatten(-1, (self.num_speakers, -1, 2))
            masks.append(mask.permute(0, 3, 1, 2, 4, 5).flatten(3, 4))  # [B, S, L, k w, 2]
        return torch.view_as_complex(torch.cat(masks, 3))


class BandLinear(nn.Module):
    """A linear layer of its own for each of some bands of one width."""

    def __init__(self, num_bands: int, inputs: int, outputs: int, std: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_bands, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(num_bands, outputs))
        nn.init.normal_(self.weight, std=std / math.sqrt(inputs))

    def forward(self, bands: Tensor) -> Tensor:
        """From `[batch, frames, bands, inputs]` to `[batch, frames, bands, outputs]`."""
        rows = bands.flatten(0, 1).transpose(0, 1)  # [K, B L, inputs]
        mapped = torch.bmm(rows, self.weight).transpose(0, 1) + self.bias
        return mapped.view(*bands.shape[:-1], -1)


class Block(nn.Module):
    """Attention over time, then a feed-forward layer, each added to what comes in."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention = Attention(config.dim, config.heads)
        self.feed = FeedForward(config.dim, config.hidden)

    def forward(self, tokens: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """Tokens `[batch, frames, dim]`, refined."""
        tokens = tokens + self.attention(tokens, rotation)
        refined: Tensor = tokens + self.feed(tokens)
        return refined


class BandBlock(nn.Module):
    """A block that refines the bands, and lets the token of a frame read and tell them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        shape = [len(config.bands), config.band_channels]
        self.band_feed = BandFeedForward(config.band_channels, config.band_hidden)
        self.read_norm = nn.LayerNorm(shape)
        self.read = nn.Linear(math.prod(shape), config.dim, bias=False)
        self.attention = Attention(config.dim, config.heads)
        self.feed = FeedForward(config.dim, config.hidden)
        self.write_norm = nn.LayerNorm(config.dim)
        self.write = nn.Linear(config.dim, math.prod(shape), bias=False)
        nn.init.zeros_(self.read.weight)
        nn.init.normal_(self.write.weight, std=0.5 / math.sqrt(config.dim))

    def forward(
        self, tokens: Tensor, bands: Tensor, rotation: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Tokens `[batch, frames, dim]` and bands `[batch, frames, bands, channels]`, refined."""
        bands = bands + self.band_feed(bands)
        tokens = tokens + self.read(self.read_norm(bands).flatten(2))
        tokens = tokens + self.attention(tokens, rotation)
        tokens = tokens + self.feed(tokens)
        bands = bands + self.write(self.write_norm(tokens)).view_as(bands)
        return tokens, bands


class BandFeedForward(nn.Module):
    """Two dense layers over a band in three neighbour frames, the same for all bands."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.up = nn.Linear(3 * channels, hidden)
        self.down = nn.Linear(hidden, channels, bias=False)
        nn.init.normal_(self.down.weight, std=0.3 / math.sqrt(hidden))

    def forward(self, bands: Tensor) -> Tensor:
        """Bands `[batch, frames, bands, channels]`, same shape."""
        widened = self.up(with_neighbours(self.norm(bands)))
        fed: Tensor = self.down(F.gelu(widened, approximate="tanh"))
        return fed


class Attention(nn.Module):
    """Multi-head self-attention with rotary positions."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        nn.init.normal_(self.out.weight, std=0.3 / math.sqrt(dim))

    def forward(self, tokens: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """Attended tokens `[batch, frames, dim]`."""
        qkv = self.qkv(self.norm(tokens)).unflatten(-1, (3, self.heads, -1))  # [B, L, 3, H, D/H]
        heads = qkv.permute(2, 0, 3, 1, 4)  # [3, B, H, L, D/H]
        (query, key), value = rotate(heads[:2], rotation), heads[2]
        if self.training:
            # The fused kernel's backward pass takes three times as long on a processor in bfloat16.
            scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
            mixed = scores.softmax(-1) @ value
        else:
            mixed = F.scaled_dot_product_attention(query, key, value)
        attended: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return attended


class FeedForward(nn.Module):
    """Two dense layers; half of the channels that enter come from the neighbour frames."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim, bias=False)
        nn.init.normal_(self.down.weight, std=0.3 / math.sqrt(hidden))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens `[batch, frames, dim]`, same shape."""
        widened = self.up(half_shifted(self.norm(tokens)))
        fed: Tensor = self.down(F.gelu(widened, approximate="tanh"))
        return fed


def compressed(spectrum: Tensor, exponent: float) -> Tensor:
    """Real and imaginary parts `[batch, frames, bins, 2]` of a spectrum, magnitudes to a power."""
    parts = torch.view_as_real(spectrum)
    power = parts.square().sum(-1, keepdim=True) + 1e-8
    return parts * power.pow((exponent - 1) / 2)


def neighbours(parts: Tensor) -> Tensor:
    """Each frame between its neighbours, `[batch, frames, 3, bins, 2]`; zeros beyond the ends."""
    padded = F.pad(parts, (0, 0, 0, 0, 1, 1))
    return torch.stack((padded[:, :-2], padded[:, 1:-1], padded[:, 2:]), 2)


def with_neighbours(bands: Tensor) -> Tensor:
    """Bands `[batch, frames, bands, 3 * channels]`, before, now and after; zeros at the ends."""
    padded = F.pad(bands, (0, 0, 0, 0, 1, 1))
    return torch.cat((padded[:, :-2], padded[:, 1:-1], padded[:, 2:]), -1)


def half_shifted(tokens: Tensor) -> Tensor:
    """Tokens, a quarter of the channels from the frame before, a quarter from the one after."""
    quarter = tokens.shape[-1] // 4
    padded = F.pad(tokens, (0, 0, 1, 1))
    before, after = padded[:, :-2, :quarter], padded[:, 2:, quarter : 2 * quarter]
    return torch.cat((before, after, tokens[:, :, 2 * quarter :]), -1)


def runs(widths: Sequence[int]) -> list[tuple[int, int]]:
    """Number and width of the bands of each run of equal widths."""
    return [(len(list(run)), width) for width, run in itertools.groupby(widths)]


def rotary_table(tokens: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines `[frames, size]` of the positions (Su et al., section 3.4.2)."""
    pairs = torch.arange(0, size, 2, device=tokens.device)
    frames = torch.arange(tokens.shape[1], device=tokens.device)
    angles = frames.unsqueeze(-1) * 10000.0 ** -(pairs / size)
    cos, sin = angles.cos().to(tokens.dtype), angles.sin().to(tokens.dtype)
    return torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)


def rotate(vectors: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Vectors `[..., frames, size]`, channel pairs (i, i + size / 2) turned by their position."""
    cos, sin = rotation
    return vectors * cos + vectors.roll(vectors.shape[-1] // 2, -1) * sin
