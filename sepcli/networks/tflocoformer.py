"""TF-Locoformer: attention and convolution along frequency and along time, in turn.

Follows "TF-Locoformer: Transformer with Local Modeling by Convolution for Speech Separation and
Enhancement" (Saijo, Wichern, Germain, Pan, Le Roux, IWAENC 2024,
https://arxiv.org/abs/2408.03440), figure 1, and the checkpoints published with it:
a path adds its feed-forward layers whole, where the paper adds half of each. The network gives the
speakers' spectra themselves, not masks.

Deviations: inputs shorter than half a window, which cannot be mirrored, are extended by zeros; the
last samples fade out where the published code divides by a window that is nearly zero there.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers import Rotary, RotaryAttention, check_sizes

SILENCE = 1e-8  # deviation of a mixture that holds no more than rounding of zero
# Squared windows that cover a sample, at least. A last sample of less would be an error of the
# network, multiplied by a thousand at worst; it fades out instead, over 2 ms at most.
LEAST_COVER = 0.02


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of the network; the defaults are those of the published WSJ0-2mix checkpoint.

    Attributes:
        num_speakers: Number of estimates `<N>`.
        window: Length of the Fourier transform [samples].
        stride: Distance of frames [samples]; divides half of `window`.
        blocks: Number of blocks, each a frequency and a time path `<B>`.
        channels: Channels of a bin `<D>`; a multiple of `groups`.
        hidden: Hidden channels of a path's two feed-forward layers, the first one first `<C>`.
        kernel_size: Kernel of their convolutions [bins or frames] `<K>`.
        heads: Attention heads `<H>`.
        attention_channels: Channels of all heads together `<E>`.
        groups: Groups of channels that a norm scales separately `<G>`.
        norm: Norm at the start of each layer: root mean square of groups, or layer norm.
        first: Path that a block begins with.
    """

    num_speakers: int = 2
    window: int = 128
    stride: int = 64
    blocks: int = 6
    channels: int = 128
    hidden: tuple[int, int] = (384, 384)
    kernel_size: int = 4
    heads: int = 4
    attention_channels: int = 128
    groups: int = 4
    norm: Literal["rms-group", "layer"] = "rms-group"
    first: Literal["frequency", "time"] = "frequency"

    def __post_init__(self) -> None:
        check_sizes(self)
        if min(self.hidden) < 1:
            raise ValueError(f"hidden must be 1 or more: {min(self.hidden)}")
        if self.window < 2 * self.stride or self.window // 2 % self.stride or self.window % 2:
            raise ValueError(f"stride must divide half of window: {self.stride}, {self.window}")
        if self.channels % self.groups:
            raise ValueError(f"channels must be a multiple of groups: {self.channels}")
        if self.attention_channels % (2 * self.heads):
            raise ValueError(
                f"attention_channels must be a multiple of 2 * heads: {self.attention_channels}"
            )


class Network(nn.Module):
    """TF-Locoformer: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.separator = Separator(config)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]` of any length ≥ 1.

        The scale of a row passes through to its estimates; nothing else of it is seen.
        """
        # B: batch, S: speakers, L: frames, F: bins
        batch, time = mixture.shape
        window, stride = self.config.window, self.config.stride
        level = mixture.std(-1, correction=min(1, time - 1), keepdim=True).clamp_min(SILENCE)
        scaled = F.pad(mixture / level, (0, max(0, window // 2 + 1 - time)))
        taper = torch.hann_window(window, dtype=mixture.dtype, device=mixture.device)
        spectrum = torch.stft(scaled, window, stride, window=taper, return_complex=True)
        estimates = self.separator(spectrum.transpose(1, 2))  # [B, S, L, F]
        waveforms = torch.istft(
            estimates.flatten(0, 1).transpose(1, 2),
            window,
            stride,
            window=taper,
            length=scaled.shape[-1],
        )
        faded = fade_out(waveforms, taper, stride).view(batch, -1, scaled.shape[-1])
        return faded[..., :time] * level.unsqueeze(1)


def fade_out(waveforms: Tensor, taper: Tensor, stride: int) -> Tensor:
    """Return `[rows, time]`, its end no larger than the windows that cover it allow.

    Args:
        waveforms: Inverse of a transform whose last frame is centred up to a stride before the end.
        taper: Window of the transform, `[window]`.
        stride: Distance of frames [samples].
    """
    # past the middle of the last frame, only the falling halves of the last frames cover a sample
    cover = taper.square()[len(taper) // 2 :].view(-1, stride).sum(0)
    past = waveforms.shape[-1] % stride
    gain = (cover[:past] / LEAST_COVER).clamp_max(1.0)
    return torch.cat((waveforms[:, :-past], waveforms[:, -past:] * gain), 1) if past else waveforms


class Separator(nn.Module):
    """Spectra `[batch, speakers, frames, bins]` of one `[batch, frames, bins]`, all complex."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim, width = config.channels, config.attention_channels // config.heads
        self.conv = nn.Sequential(nn.Conv2d(2, dim, 3, padding=1), nn.GroupNorm(1, dim, eps=1e-5))
        over_frequency, over_time = Rotary(width), Rotary(width)  # one for all blocks
        self.blocks = nn.ModuleList(
            Block(config, over_frequency, over_time) for _ in range(config.blocks)
        )
        self.deconv = nn.ConvTranspose2d(dim, 2 * config.num_speakers, 3, padding=1)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Spectra of the speakers, `[batch, speakers, frames, bins]`."""
        # B: batch, D: channels, L: frames, F: bins, S: speakers
        parts = torch.stack((spectrum.real, spectrum.imag), 1)  # [B, 2, L, F]
        features = self.conv(parts).permute(0, 2, 3, 1)  # [B, L, F, D]
        for block in self.blocks:
            features = block(features)
        parts = self.deconv(features.permute(0, 3, 1, 2))  # [B, 2S, L, F]
        if parts.dtype in (torch.bfloat16, torch.float16):  # there are no complex numbers of these
            parts = parts.float()
        real, imag = parts[:, ::2], parts[:, 1::2]  # each [B, S, L, F]
        return torch.complex(real, imag)


class Block(nn.Module):
    """One path along frequency and one along time."""

    def __init__(self, config: Config, over_frequency: Rotary, over_time: Rotary) -> None:
        super().__init__()
        self.first = config.first
        self.freq_path = Path(config, over_frequency)
        self.frame_path = Path(config, over_time)

    def forward(self, features: Tensor) -> Tensor:
        """Features `[batch, frames, bins, channels]`."""
        if self.first == "frequency":
            return along_time(self.frame_path, along_frequency(self.freq_path, features))
        return along_frequency(self.freq_path, along_time(self.frame_path, features))


def along_frequency(path: nn.Module, features: Tensor) -> Tensor:
    """Return `[batch, frames, bins, channels]`, each frame a sequence of bins."""
    refined: Tensor = path(features.flatten(0, 1))
    return refined.view(features.shape)


def along_time(path: nn.Module, features: Tensor) -> Tensor:
    """Return `[batch, frames, bins, channels]`, each bin a sequence of frames."""
    turned = features.transpose(1, 2)
    refined: Tensor = path(turned.flatten(0, 1))
    return refined.view(turned.shape).transpose(1, 2)


class Path(nn.Module):
    """Local modelling, attention, local modelling (figure 1), each added to what comes in.

    Published checkpoints number the feed-forward layers from the last to the first.
    """

    def __init__(self, config: Config, rope: Rotary) -> None:
        super().__init__()
        dim, inner = config.channels, config.attention_channels
        self.ffn_norm = nn.ModuleList(norm(config) for _ in config.hidden)
        self.ffn = nn.ModuleList(
            ConvFeedForward(dim, hidden, config.kernel_size) for hidden in reversed(config.hidden)
        )
        self.attn_norm = norm(config)
        self.attn = RotaryAttention(dim, config.heads, rope, inner)

    def forward(self, sequences: Tensor) -> Tensor:
        """Refined sequences `[rows, steps, channels]`."""
        sequences = sequences + self.ffn[1](self.ffn_norm[1](sequences))
        sequences = sequences + self.attn(self.attn_norm(sequences))
        refined: Tensor = sequences + self.ffn[0](self.ffn_norm[0](sequences))
        return refined


class ConvFeedForward(nn.Module):
    """Conv-SwiGLU: a gated convolution, and a transposed one that leads back."""

    def __init__(self, dim: int, hidden: int, kernel_size: int) -> None:
        super().__init__()
        self.beside = kernel_size - 1
        self.conv1d = nn.Conv1d(dim, 2 * hidden, kernel_size)
        self.deconv1d = nn.ConvTranspose1d(hidden, dim, kernel_size)

    def forward(self, sequences: Tensor) -> Tensor:
        """Sequences `[rows, steps, channels]` of the same shape."""
        steps = sequences.shape[1]
        padded = F.pad(sequences.transpose(1, 2), (self.beside, self.beside))
        value, gate = self.conv1d(padded).chunk(2, 1)  # each [rows, hidden, steps + beside]
        back: Tensor = self.deconv1d(value * F.silu(gate))[..., self.beside : self.beside + steps]
        return back.transpose(1, 2)


def norm(config: Config) -> nn.Module:
    """Return the norm that a layer begins with."""
    if config.norm == "layer":
        return nn.LayerNorm(config.channels, eps=1e-5)
    return RmsGroupNorm(config.channels, config.groups)


class RmsGroupNorm(nn.Module):
    """Each group of channels divided by its root mean square (RMSGroupNorm)."""

    def __init__(self, dim: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, features: Tensor) -> Tensor:
        """Normalised features `[..., channels]`."""
        parts = features.reshape(*features.shape[:-1], self.groups, -1)
        scale = parts.square().mean(-1, keepdim=True).sqrt() + 1e-5
        normed: Tensor = (parts / scale).flatten(-2) * self.gamma
        return normed
