"""SR-CorrNet: an asymmetric encoder and decoder on correlations of time-frequency bins.

Shin and Park, "Asymmetric Encoder-Decoder Based on Time-Frequency Correlation for Speech
Separation", 2026, https://arxiv.org/abs/2603.29097, in the authors' one-channel form. The encoder
sees how each bin correlates with its neighbours; the features are split into speakers early, and
the decoder refines the speakers' streams beside each other. Its outputs are filters, which make
each bin of an estimate out of the mixture's bins around it.

As published, the estimates have the scale of a mixture of standard deviation 1; they fade in and
out, and the last samples, which fill no frame, are zero. Other than there, a mixture may be shorter
than a frame or of any length, and it has no more speakers than the network was trained for.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers import CrossAttention, Rotary, RotaryAttention, check_sizes

EPS = torch.finfo(torch.float32).eps  # torch's for an RMS norm that is given none
SILENCE = 1e-12  # added to powers and products of magnitudes


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of the network.

    Attributes:
        num_speakers: Number of estimates; with `counts`, the most that there may be.
        counts: Whether the network finds the number of speakers in a mixture by itself. Estimates
            beyond that number are silent, every sample zero.
        window: Length of the Fourier transform [samples]; twice or four times `stride`.
        stride: Distance of frames [samples].
        taps_freq: Neighbour bins below and above a bin.
        taps_frame: Neighbour frames before and after it.
        dim: Channels of a bin <C>.
        heads: Attention heads; `dim / heads` is even.
        hidden: Hidden channels of the convolutional feed-forward layers.
        cross_hidden: Hidden channels of the feed-forward layers across speakers.
        kernel_size: Of the convolutions along frequency and time [bins, frames]; odd.
        encoder_blocks: Blocks before the split into speakers.
        decoder_blocks: Blocks after it.
    """

    num_speakers: int = 2
    counts: bool = False
    window: int = 128
    stride: int = 64
    taps_freq: tuple[int, int] = (1, 1)
    taps_frame: tuple[int, int] = (1, 1)
    dim: int = 128
    heads: int = 4
    hidden: int = 384
    cross_hidden: int = 512
    kernel_size: int = 3
    encoder_blocks: int = 2
    decoder_blocks: int = 4

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.window not in (2 * self.stride, 4 * self.stride):
            raise ValueError(f"window must be twice or four times stride: {self.window}")
        if self.dim < 8 or self.dim % 4 or self.dim % (2 * self.heads):
            raise ValueError(f"dim must be a multiple of 4 and of 2 * heads: {self.dim}")
        if self.kernel_size % 2 == 0 or min(*self.taps_freq, *self.taps_frame) < 0:
            raise ValueError("kernel_size must be odd, taps 0 or more")

    @property
    def num_taps(self) -> int:
        """Bins that a filter spans <L>, its own among them."""
        return (sum(self.taps_freq) + 1) * (sum(self.taps_frame) + 1)


class Network(nn.Module):
    """Correlations → encoder → split → decoder → filters, for one channel."""

    window: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        rope = Rotary(config.dim // config.heads)
        self.encoder = Embedding(config)
        self.enc_block = nn.ModuleList(Block(config, rope) for _ in range(config.encoder_blocks))
        self.spk_split = AttractorSplit(config) if config.counts else Split(config)
        self.layernorm = nn.LayerNorm(config.dim)
        self.dec_block = nn.ModuleList(Block(config, rope) for _ in range(config.decoder_blocks))
        self.dec_cs = nn.ModuleList(CrossSpeaker(config) for _ in range(config.decoder_blocks))
        self.filter_estim = FilterEstimator(config)
        # Of losses between the blocks, not of the estimates.
        self.filter_estim_aux = nn.ModuleList(FilterEstimator(config) for _ in self.dec_block)
        # From numpy, because torch loads its compiler to compute anything on the meta device.
        window = np.sin(np.pi * np.arange(config.window) / config.window)  # the root of Hann's
        if config.window == 4 * config.stride:
            window = math.sqrt(2 / 3) * window**2
        self.register_buffer("window", torch.from_numpy(window).float(), persistent=False)

    def forward(self, mixture: Tensor, num_speakers: int | None = None) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]`, time ≥ 1.

        Where `config.counts`, each row has as many estimates as speakers are found in it, and the
        others are silent: `estimates.any(-1).sum(-1)` is the number. Training does not teach it.

        Args:
            mixture: `[batch, time]`, at any level.
            num_speakers: Where it is known in place of the count, one more than
                `config.num_speakers` at most; networks that do not count take no notice.
        """
        # B: batch, S: speakers, T: frames, F: bins, C: dim, L: taps
        spectrum = self._analyse(mixture)  # [B, T, F]
        features = self.encoder(correlations(spectrum, self.config))  # [B, T, F, C]
        features = features + sinusoids(features.shape[2], features)
        for block in self.enc_block:
            features = block(features)
        if isinstance(self.spk_split, Split):
            return self._decode(spectrum, self.spk_split(features), mixture.shape[-1])
        attractors, counts = self.spk_split.find(features)  # [B, most + 1, C]
        most, rows = self.config.num_speakers, []
        for row, count in enumerate(counts):  # each has its own number of speakers
            found, one = num_speakers or min(count, most), slice(row, row + 1)
            streams = self.spk_split(features[one], attractors[one, :found])  # [1, S, T, F, C]
            estimates = self._decode(spectrum[one], streams, mixture.shape[-1])
            rows.append(F.pad(estimates, (0, 0, 0, max(0, most - found))))
        return torch.cat(rows)

    def _analyse(self, mixture: Tensor) -> Tensor:
        """Spectrum `[batch, frames, bins]` of the mixture at standard deviation 1."""
        size = self.config.window
        num_samples = mixture.shape[-1]
        level = mixture.std(-1, correction=min(1, num_samples - 1), keepdim=True) + 1e-8
        padded = F.pad(mixture / level, (0, max(0, size - num_samples)))
        frames = padded.unfold(-1, size, self.config.stride)
        spectrum: Tensor = torch.fft.rfft(frames * self.window) * math.sqrt(2 / size)
        return spectrum

    def _decode(self, spectrum: Tensor, streams: Tensor, num_samples: int) -> Tensor:
        """Estimates `[batch, speakers, time]` from their first streams."""
        if streams.shape[1] == 0:
            return streams.new_zeros(len(streams), 0, num_samples)
        streams = self.layernorm(streams)
        for block, across in zip(self.dec_block, self.dec_cs, strict=True):
            streams = across(block(streams))
        filters = self.filter_estim(streams)  # [B, S, T, F, L]
        around = neighbours(spectrum, self.config).unsqueeze(1)  # [B, 1, T, F, L]
        return self._synthesise((filters * around).sum(-1), num_samples)

    def _synthesise(self, spectrum: Tensor, num_samples: int) -> Tensor:
        """Waveforms `[batch, speakers, time]`, overlap-added as published.

        The first and last bin count twice, and the edges keep the window: filters know of that.
        """
        size, stride = self.config.window, self.config.stride
        twice = F.pad(spectrum.real.new_ones(size // 2 - 1), (1, 1), value=2)
        frames = torch.fft.irfft(spectrum * twice, n=size) * (self.window * math.sqrt(size / 2))
        length = (frames.shape[2] - 1) * stride + size
        waveforms = F.fold(frames.flatten(0, 1).mT, (1, length), (1, size), stride=(1, stride))
        return F.pad(waveforms.view(*frames.shape[:2], length), (0, num_samples - length))


class Embedding(nn.Module):
    """Features of a bin from the correlations around it."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        widen = nn.Conv2d(2 * config.num_taps, 4 * config.dim, 3, padding=1)
        narrow = nn.Conv2d(4 * config.dim, config.dim, 3, padding=1)
        self.embed = nn.Sequential(widen, nn.SiLU(), narrow)
        self.layer_norm = nn.RMSNorm(config.dim, EPS)

    def forward(self, correlation: Tensor) -> Tensor:
        """Features `[batch, frames, bins, dim]` of `[batch, frames, bins, 2 taps]`."""
        embedded = self.embed(correlation.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        features: Tensor = self.layer_norm(embedded)
        return features


class Block(nn.Module):
    """One module along frequency, then one along time."""

    def __init__(self, config: Config, rope: Rotary) -> None:
        super().__init__()
        self.freq_block = Path(config, rope)
        self.time_block = Path(config, rope)

    def forward(self, features: Tensor) -> Tensor:
        """Features `[..., frames, bins, dim]`, refined."""
        features = self.freq_block(features)
        refined: Tensor = self.time_block(features.transpose(-2, -3)).transpose(-2, -3)
        return refined


class Path(nn.Module):
    """Half a convolutional feed-forward layer, attention, and the other half, along one axis."""

    def __init__(self, config: Config, rope: Rotary) -> None:
        super().__init__()
        attention = Residual(config.dim, RotaryAttention(config.dim, config.heads, rope))
        before, after = ConvFeedForward(config), ConvFeedForward(config)
        self.block = nn.ModuleDict({"ffn_1": before, "sa": attention, "ffn_2": after})

    def forward(self, features: Tensor) -> Tensor:
        """Features `[..., length, dim]`, refined along `length`."""
        rows: Tensor = features.flatten(0, -3)
        rows = rows + 0.5 * self.block["ffn_1"](rows)
        rows = self.block["sa"](rows)
        rows = rows + 0.5 * self.block["ffn_2"](rows)
        return rows.view(features.shape)


class ConvFeedForward(nn.Module):
    """Two convolutions with a SwiGLU gate between them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim, hidden, size = config.dim, config.hidden, config.kernel_size
        self.layernorm = nn.RMSNorm(dim, EPS)
        up = nn.Conv1d(dim, 2 * hidden, size, padding="same")
        down = nn.Conv1d(hidden, dim, size, padding="same")
        self.net = nn.ModuleDict({"0": up, "2": down})

    def forward(self, rows: Tensor) -> Tensor:
        """What is added to the rows `[rows, length, dim]`."""
        value, gate = self.net["0"](self.layernorm(rows).mT).chunk(2, 1)
        fed: Tensor = self.net["2"](value * F.silu(gate)).mT
        return fed


class FeedForward(nn.Module):
    """Two linear layers with a SwiGLU gate between them, added to what comes in."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.layernorm = nn.RMSNorm(dim, EPS)
        self.net = nn.ModuleDict({"0": nn.Linear(dim, 2 * hidden), "2": nn.Linear(hidden, dim)})

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens `[rows, length, dim]`, refined."""
        value, gate = self.net["0"](self.layernorm(tokens)).chunk(2, -1)
        refined: Tensor = tokens + self.net["2"](value * F.silu(gate))
        return refined


class Residual(nn.Module):
    """Attention to normalised tokens, added to what comes in."""

    def __init__(self, dim: int, block: nn.Module) -> None:
        super().__init__()
        self.layernorm = nn.RMSNorm(dim, EPS)
        self.block = block

    def forward(self, tokens: Tensor, *memory: Tensor) -> Tensor:
        """Tokens `[rows, length, dim]`, refined; of what `memory` holds, where it is given."""
        refined: Tensor = tokens + self.block(self.layernorm(tokens), *memory)
        return refined


class CrossSpeaker(nn.Module):
    """Attention across the speakers' streams in each bin, and a feed-forward layer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        attention = RotaryAttention(config.dim, config.heads, nn.Identity())
        feed = FeedForward(config.dim, config.cross_hidden)
        layers = {"sa": Residual(config.dim, attention), "ffn": feed}
        self.block = nn.ModuleDict({"block": nn.Sequential(OrderedDict(layers))})

    def forward(self, streams: Tensor) -> Tensor:
        """Streams `[batch, speakers, frames, bins, dim]`, refined."""
        tokens = streams.permute(0, 2, 3, 1, 4)  # [B, T, F, S, C]
        refined: Tensor = self.block["block"](tokens.flatten(0, 2)).view(tokens.shape)
        return refined.permute(0, 3, 1, 2, 4)


class Split(nn.Module):
    """Streams of a fixed number of speakers."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.num_speakers = config.num_speakers
        dim, wide = config.dim, config.dim * config.num_speakers
        first, second = nn.Linear(dim, 4 * wide), nn.Linear(4 * wide, wide)
        self.spk_split = nn.Sequential(first, nn.SiLU(), second)

    def forward(self, features: Tensor) -> Tensor:
        """Streams `[batch, speakers, frames, bins, dim]` of features `[batch, ..., dim]`."""
        streams: Tensor = self.spk_split(features).unflatten(-1, (-1, self.num_speakers))
        return streams.movedim(-1, 1)


class AttractorSplit(nn.Module):
    """Streams of as many speakers as there are: queries become attractors, one a speaker."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim = config.dim
        queries = torch.empty(1, config.num_speakers + 2, dim)
        self.spk_query = nn.Parameter(nn.init.normal_(queries))
        self.layernorm = nn.LayerNorm(dim)
        self.dec = nn.ModuleDict({"net1": QueryLayer(config), "net2": QueryLayer(config)})
        self.pres_linear = nn.Linear(dim, 1)
        fusion = nn.Sequential(nn.Linear(2 * dim, 4 * dim), nn.SiLU(), nn.Linear(4 * dim, dim))
        self.split = nn.ModuleDict({"fusion": fusion})

    def find(self, features: Tensor) -> tuple[Tensor, list[int]]:
        """Attractors `[batch, speakers + 1, dim]`, and how many speakers each row has.

        As published the first ones are the speakers', whichever of them were found present.
        """
        half = features[..., ::2]
        frames, bins = sinusoids(half.shape[1], half).unsqueeze(1), sinusoids(half.shape[2], half)
        positions = F.pad(frames, (0, len(bins.T))) + F.pad(bins, (len(bins.T), 0))  # [T, F, C]
        memory = (self.layernorm(features) + positions).flatten(1, 2)  # [B, T F, C]
        queries = self.spk_query.expand(len(features), -1, -1)  # the first stands for no speaker
        for layer in self.dec.values():
            queries = layer(queries, memory)
        attractors = queries / (queries.norm(dim=-1, keepdim=True) + 1e-8)
        present = self.pres_linear(attractors).squeeze(-1)[:, 1:] > 0  # a probability over 1 / 2
        if self.training or present.is_meta:  # mixtures to learn from have all; meta tensors none
            present = torch.ones(present.shape)
        return attractors[:, 1:], present.sum(-1).int().tolist()

    def forward(self, features: Tensor, attractors: Tensor) -> Tensor:
        """Streams `[batch, speakers, frames, bins, dim]`, one for each attractor."""
        shape = (-1, attractors.shape[1], *features.shape[1:])
        both = (features.unsqueeze(1).expand(shape), attractors[:, :, None, None].expand(shape))
        streams: Tensor = self.split["fusion"](torch.cat(both, -1))
        return streams


class QueryLayer(nn.Module):
    """Queries attend to the features, then to the queries before them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim, heads = config.dim, config.heads
        self.ca = Residual(dim, CrossAttention(dim, heads))
        self.sa = Residual(dim, RotaryAttention(dim, heads, nn.Identity(), causal=True))
        self.ffn = FeedForward(dim, 4 * dim)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Queries `[batch, queries, dim]`, refined by `memory` `[batch, tokens, dim]`."""
        refined: Tensor = self.ffn(self.sa(self.ca(queries, memory)))
        return refined


class FilterEstimator(nn.Module):
    """Complex filters, one tap a neighbour."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.mask = nn.ModuleDict({"net": nn.Linear(config.dim, 3 * config.num_taps)})

    def forward(self, streams: Tensor) -> Tensor:
        """Filters `[..., taps]` of streams `[..., dim]`."""
        parts = self.mask["net"](streams)
        if parts.dtype in (torch.bfloat16, torch.float16):  # there are no complex numbers of these
            parts = parts.float()
        size, real, imag = parts.unflatten(-1, (-1, 3)).unbind(-1)
        return F.softplus(size) * torch.complex(real.tanh(), imag.tanh())


def neighbours(spectrum: Tensor, config: Config) -> Tensor:
    """The bins around each bin, `[batch, frames, bins, taps]`; zero outside of the spectrum.

    Lower bins come first, and of a bin the earlier frames.
    """
    padded = F.pad(spectrum, (*config.taps_freq, *config.taps_frame))
    around = padded.unfold(1, sum(config.taps_frame) + 1, 1)
    around = around.unfold(2, sum(config.taps_freq) + 1, 1)  # [B, T, F, frames, bins]
    return around.transpose(-1, -2).flatten(-2)


def correlations(spectrum: Tensor, config: Config) -> Tensor:
    """Real and imaginary parts, `[batch, frames, bins, 2 taps]`, of each bin times its neighbours.

    A bin and its neighbours are measured in the bin's root mean square over the recording, and
    products are taken to the root of their magnitude.
    """
    power = torch.view_as_real(spectrum).square().sum(-1).mean(1, keepdim=True)
    scale = (power + SILENCE).sqrt()
    centre = (spectrum / scale).unsqueeze(-1)
    around = neighbours(spectrum, config) / scale.unsqueeze(-1)
    products = centre * around.conj() / (centre.abs() * around.abs() + SILENCE).sqrt()
    return torch.view_as_real(products).flatten(-2)


def sinusoids(length: int, like: Tensor) -> Tensor:
    """A table of positions `[length, channels]`, sines in the first half, cosines in the second."""
    half = like.shape[-1] // 2
    steps = torch.arange(max(length, half), dtype=torch.float32, device=like.device)
    rates = (steps[:half] * -(math.log(10000.0) / (half - 1))).exp()
    angles = steps[:length].unsqueeze(1) * rates
    return torch.cat((angles.sin(), angles.cos()), -1).to(like.dtype)
