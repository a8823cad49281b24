"""A transformer over the frames of a short-time Fourier transform that gives complex masks.

One token a frame, attention over time with rotary positions (RoFormer, Su et al., 2021,
https://arxiv.org/abs/2104.09864, section 3.2.2), as in "Music Source Separation with Band-Split
RoPE Transformer" (Lu et al., 2023, https://arxiv.org/abs/2309.02612) but with a single band.

It is made to be trained on a processor without an accelerator: all of its work are dense matrix
products at 62.5 frames a second. Instead of convolutions, a token is made of three neighbour
frames, and a quarter of the channels that enter a feed-forward layer come from the frame before,
a quarter from the frame after.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
    """

    num_speakers: int = 2
    window: int = 256
    stride: int = 128
    dim: int = 160
    heads: int = 4
    hidden: int = 640
    num_blocks: int = 6
    compression: float = 0.5

    def __post_init__(self) -> None:
        if min(self.num_speakers, self.stride, self.heads, self.hidden, self.num_blocks) < 1:
            raise ValueError("all sizes must be 1 or more")
        if self.window % self.stride or self.window < 2 * self.stride or self.window % 2:
            raise ValueError(f"window must be an even multiple of stride: {self.window}")
        if self.dim < 4 or self.dim % 4 or self.dim % (2 * self.heads):
            raise ValueError(f"dim must be a multiple of 4 and of 2 * heads: {self.dim}")


class Network(nn.Module):
    """Masking transformer: `[batch, time]` → `[batch, speakers, time]`."""

    window: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_blocks))
        self.masker = Masker(config)
        # The squared windows of the frames that cover a sample add up to 1.
        scale = math.sqrt(2 * config.stride / config.window)
        # The root of a Hann window is a half-period of a sine; from numpy, because torch loads
        # its compiler to compute anything on the meta device.
        window = np.sin(np.pi * np.arange(config.window) / config.window) * scale
        self.register_buffer("window", torch.from_numpy(window).float(), persistent=False)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]`, time ≥ 1.

        The scale of a row passes through to its estimates; nothing else of it is seen.
        """
        # B: batch, S: speakers, L: frames, F: bins, D: dim
        level = (mixture.square().mean(-1, keepdim=True) + SILENCE).sqrt()
        spectrum = self._analyse(mixture / level)  # [B, L, F]
        tokens = self.encoder(spectrum)  # [B, L, D]
        rotation = rotary_table(tokens, self.config.dim // self.config.heads)
        for block in self.blocks:
            tokens = block(tokens, rotation)
        masks = self.masker(tokens)  # [B, S, L, F]
        estimates = self._synthesise(masks * spectrum.unsqueeze(1), mixture.shape[-1])
        scaled: Tensor = estimates * level.unsqueeze(1)
        return scaled

    def _analyse(self, mixture: Tensor) -> Tensor:
        """Spectrum `[batch, frames, bins]`; window / stride frames cover each sample."""
        window, stride = self.config.window, self.config.stride
        steps = math.ceil(mixture.shape[-1] / stride)
        padded = F.pad(
            mixture, (window - stride, window + (steps - 1) * stride - mixture.shape[-1])
        )
        frames = padded.unfold(-1, window, stride)
        spectrum: Tensor = torch.fft.rfft(frames * self.window)
        return spectrum

    def _synthesise(self, spectrum: Tensor, num_samples: int) -> Tensor:
        """Waveforms `[batch, speakers, time]` by windowed overlap-add, the inverse of analysis."""
        window, stride = self.config.window, self.config.stride
        frames = torch.fft.irfft(spectrum, n=window) * self.window  # [B, S, L, window]
        count = frames.shape[2]
        pieces = frames.unflatten(-1, (-1, stride)).unbind(-2)  # each [B, S, L, stride]
        last = len(pieces) - 1
        # Piece k of frame i lies at step i + k; steps before the recording are left out.
        steps = [piece[:, :, last - k : count - k] for k, piece in enumerate(pieces)]
        return torch.stack(steps).sum(0).flatten(2)[..., :num_samples]


class Encoder(nn.Module):
    """Tokens `[batch, frames, dim]` from a spectrum `[batch, frames, bins]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.compression = config.compression
        self.linear = nn.Linear(3 * 2 * (config.window // 2 + 1), config.dim)
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Tokens `[batch, frames, dim]`, each of a frame and its two neighbours."""
        parts = torch.view_as_real(spectrum)  # [B, L, F, 2]
        power = parts.square().sum(-1, keepdim=True) + 1e-8
        parts = F.pad((parts * power.pow((self.compression - 1) / 2)).flatten(2), (0, 0, 1, 1))
        around = torch.cat((parts[:, :-2], parts[:, 1:-1], parts[:, 2:]), -1)  # [B, L, 6 F]
        tokens: Tensor = self.norm(self.linear(around))
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
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, H, L, D/H]
        query, key = rotate(query, rotation), rotate(key, rotation)
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
        quarter = tokens.shape[-1] // 4
        before, after, own = self.norm(tokens).split((quarter, quarter, 2 * quarter), -1)
        before = F.pad(before[:, :-1], (0, 0, 1, 0))
        after = F.pad(after[:, 1:], (0, 0, 0, 1))
        shifted = torch.cat((before, after, own), -1)
        fed: Tensor = self.down(F.gelu(self.up(shifted), approximate="tanh"))
        return fed


def rotary_table(tokens: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines `[frames, size / 2]` of the positions (Su et al., eq. 15)."""
    pairs = torch.arange(0, size, 2, device=tokens.device)
    frames = torch.arange(tokens.shape[1], device=tokens.device)
    angles = frames.unsqueeze(-1) * 10000.0 ** -(pairs / size)
    return angles.cos().to(tokens.dtype), angles.sin().to(tokens.dtype)


def rotate(vectors: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Vectors `[..., frames, size]`, channel pairs (i, i + size / 2) turned by their position."""
    cos, sin = rotation
    first, second = vectors.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)
