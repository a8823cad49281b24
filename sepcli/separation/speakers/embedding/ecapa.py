"""ECAPA-TDNN: what a voice sounds like, as one vector.

Follows "ECAPA-TDNN: Emphasized Channel Attention, Propagation and Aggregation in TDNN Based
Speaker Verification" (Desplanques et al., 2020, https://arxiv.org/abs/2005.07143), figures 1 and 2
and equations 1 to 6, and the checkpoint that SpeechBrain published with its features. Convolutions
mirror the sequence at its ends, and norms come after the rectifier.

Deviation: rows of a batch are equally long, so nothing is masked; a waveform too short for the
widest convolution is filled up with zeros.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SAMPLE_RATE = 16_000  # Hz
WINDOW, HOP = 400, 160  # of the spectrum [samples]
SMALLEST_POWER = 1e-10
RANGE_DB = 80.0  # below the loudest band of the loudest frame nothing is heard
SMALLEST_VARIANCE = 1e-12


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of the network.

    Attributes:
        num_mels: Bands of the features.
        channels: Of the first layer, of each block (one or more), and of what is pooled <C>.
        kernel_sizes: Kernel of the same layers, odd [frames] <k>.
        dilations: Distance of the taps of the same layers [frames] <d>.
        scale: Parts that a block's convolution is cut into <s>.
        gate_channels: Bottleneck of the gate over channels.
        attention_channels: Bottleneck of the attention over time <R>.
        dims: Length of the embedding.
    """

    num_mels: int = 80
    channels: tuple[int, ...] = (1024, 1024, 1024, 1024, 3072)
    kernel_sizes: tuple[int, ...] = (5, 3, 3, 3, 1)
    dilations: tuple[int, ...] = (1, 2, 3, 4, 1)
    scale: int = 8
    gate_channels: int = 128
    attention_channels: int = 128
    dims: int = 192

    def __post_init__(self) -> None:
        if not 3 <= len(self.channels) == len(self.kernel_sizes) == len(self.dilations):
            raise ValueError("channels, kernel_sizes and dilations must have one item a layer")
        if min(*self.channels, *self.dilations, *self.kernel_sizes, self.scale) < 1:
            raise ValueError("all sizes must be 1 or more")
        if any(size % 2 == 0 for size in self.kernel_sizes):
            raise ValueError(f"kernel_sizes must be odd: {self.kernel_sizes}")
        if any(width % self.scale for width in self.channels[1:-1]):
            raise ValueError(f"channels of blocks must be multiples of scale: {self.channels}")


class Network(nn.Module):
    """ECAPA-TDNN: waveform `[batch, time]` at 16 kHz → embedding `[batch, dims]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        layers = list(zip(config.kernel_sizes, config.dilations, strict=True))
        inputs = (config.num_mels, *widths)
        self.blocks = nn.ModuleList([TimeDelay(config.num_mels, widths[0], *layers[0])])
        for index, layer in enumerate(layers[1:-1], start=1):
            self.blocks.append(Block(config, inputs[index], widths[index], *layer))
        self.mfa = TimeDelay(sum(widths[1:-1]), widths[-1], *layers[-1])
        self.asp = AttentivePooling(widths[-1], config.attention_channels)
        self.asp_bn = Norm(2 * widths[-1])
        self.fc = Convolution(2 * widths[-1], config.dims)
        reach = max(dilation * (size // 2) for size, dilation in layers)
        self.least_samples = reach * HOP  # a sequence cannot be mirrored further than it is long

    def forward(self, waveform: Tensor) -> Tensor:
        """Embedding `[batch, dims]` of any length, whatever the level of the waveform."""
        missing = max(0, self.least_samples - waveform.shape[-1])
        features = log_mel(F.pad(waveform, (0, missing)), self.config.num_mels)
        return self.embed(features - features.mean(-1, keepdim=True))

    def embed(self, features: Tensor) -> Tensor:
        """Embedding `[batch, dims]` of normalised features `[batch, mels, frames]`."""
        # B: batch, C: channels, L: frames
        first, *blocks = self.blocks
        hidden = first(features)  # [B, C, L]
        outputs = []
        for block in blocks:
            hidden = block(hidden)
            outputs.append(hidden)
        pooled = self.asp(self.mfa(torch.cat(outputs, 1)))  # [B, 2C, 1]
        embedding: Tensor = self.fc(self.asp_bn(pooled))
        return embedding.squeeze(-1)


def log_mel(waveform: Tensor, num_mels: int) -> Tensor:
    """Return the level of each mel band [dB], `[batch, mels, time // HOP + 1]`."""
    taper = torch.hamming_window(WINDOW, dtype=waveform.dtype, device=waveform.device)
    spectrum = torch.stft(
        waveform, WINDOW, HOP, window=taper, pad_mode="constant", return_complex=True
    )
    power = spectrum.real.square() + spectrum.imag.square()  # [B, bins, L]
    mel = mel_filters(num_mels).to(power) @ power
    level = 10.0 * mel.clamp_min(SMALLEST_POWER).log10()
    return level.maximum(level.amax((1, 2), keepdim=True) - RANGE_DB)


def mel_filters(num_mels: int) -> Tensor:
    """Return triangles over the bins of the spectrum, `[mels, bins]`, each of height one.

    A triangle falls as steeply as it rises, so neighbours do not add up to one.
    """
    top = 2595.0 * math.log10(1.0 + SAMPLE_RATE / 2 / 700.0)
    mels = torch.linspace(0.0, top, num_mels + 2, dtype=torch.float64)
    edges = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    centre, width = edges[1:-1, None], edges.diff()[:-1, None]
    hertz = torch.linspace(0.0, SAMPLE_RATE / 2, WINDOW // 2 + 1, dtype=torch.float64)
    return (1.0 - (hertz - centre).abs() / width).clamp_min(0.0)


class Convolution(nn.Module):
    """Convolution over time that keeps the length; its parameters are under the key `conv`."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            inputs, outputs, kernel_size, dilation=dilation, padding="same", padding_mode="reflect"
        )

    def forward(self, features: Tensor) -> Tensor:
        """Convolved features `[batch, outputs, frames]`."""
        convolved: Tensor = self.conv(features)
        return convolved


class Norm(nn.Module):
    """Batch norm; its parameters are under the key `norm`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Normalised features `[batch, channels, frames]`."""
        normed: Tensor = self.norm(features)
        return normed


class TimeDelay(nn.Module):
    """Time-delay layer: convolution, rectifier, norm."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = Convolution(inputs, outputs, kernel_size, dilation)
        self.norm = Norm(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Features `[batch, outputs, frames]`."""
        return self.norm(self.conv(features).relu())  # type: ignore[no-any-return]


class Block(nn.Module):
    """SE-Res2Block (figure 1): layers over one frame around one over many, a gate, and a skip."""

    def __init__(
        self, config: Config, inputs: int, outputs: int, kernel_size: int, dilation: int
    ) -> None:
        super().__init__()
        self.tdnn1 = TimeDelay(inputs, outputs)
        self.res2net_block = Res2(outputs, config.scale, kernel_size, dilation)
        self.tdnn2 = TimeDelay(outputs, outputs)
        self.se_block = ChannelGate(outputs, config.gate_channels)
        self.shortcut = Convolution(inputs, outputs) if inputs != outputs else None

    def forward(self, features: Tensor) -> Tensor:
        """Features `[batch, outputs, frames]`."""
        skip = features if self.shortcut is None else self.shortcut(features)
        hidden = self.tdnn2(self.res2net_block(self.tdnn1(features)))
        refined: Tensor = skip + self.se_block(hidden)
        return refined


class Res2(nn.Module):
    """Parts of the channels one after another, each together with what came of the one before."""

    def __init__(self, channels: int, scale: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        width = channels // scale
        self.blocks = nn.ModuleList(
            TimeDelay(width, width, kernel_size, dilation) for _ in range(scale - 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features `[batch, channels, frames]`; the first part stays as it is."""
        first, *parts = features.chunk(len(self.blocks) + 1, 1)
        done = [first]
        for index, (layer, part) in enumerate(zip(self.blocks, parts, strict=True)):
            done.append(layer(part + done[-1] if index else part))
        return torch.cat(done, 1)


class ChannelGate(nn.Module):
    """Squeeze and excitation (equations 5 and 6): a gain of each channel, from all frames."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = Convolution(channels, hidden)
        self.conv2 = Convolution(hidden, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Features `[batch, channels, frames]`, scaled."""
        squeezed = self.conv1(features.mean(-1, keepdim=True)).relu()
        gated: Tensor = features * self.conv2(squeezed).sigmoid()
        return gated


class AttentivePooling(nn.Module):
    """Mean and deviation over time, where each channel listens to frames of its own choice."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.tdnn = TimeDelay(3 * channels, hidden)
        self.conv = Convolution(hidden, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Statistics `[batch, 2 * channels, 1]` (equations 1 to 4)."""
        even = torch.full_like(features[:, :1], 1.0 / features.shape[-1])
        context = torch.cat([part.expand_as(features) for part in statistics(features, even)], 1)
        scores = self.conv(self.tdnn(torch.cat([features, context], 1)).tanh())
        return torch.cat(statistics(features, scores.softmax(-1)), 1)


def statistics(features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation over time, each `[batch, channels, 1]`; weights add up to one."""
    mean = (weights * features).sum(-1, keepdim=True)
    variance = (weights * (features - mean).square()).sum(-1, keepdim=True)
    return mean, variance.clamp_min(SMALLEST_VARIANCE).sqrt()
