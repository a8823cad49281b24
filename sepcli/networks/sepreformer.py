"""SepReformer: a U of transformers that parts into speakers at its waist and at every skip.

Follows "Separate and Reconstruct: Asymmetric Encoder-Decoder for Speech Separation" (Shin, Lee,
Kim, Park, NeurIPS 2024, https://arxiv.org/abs/2406.05983), section 3, and the published base
checkpoint. The encoder works on the mixture; its features part into one stream a speaker early,
and the decoder, whose weights all speakers share, reconstructs each stream and lets the speakers
look at each other. Attention works at the coarsest scale only.

Deviation: a mixture shorter than a window is filled up with zeros. The outputs of the encoder's
scales, which only the training loss reads, have their weights here and are not computed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers import check_sizes

EPS = 1e-8  # of norms over a recording
EXPANSION = 3  # of the feed-forward layers, before their gate doubles it


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of the network; the defaults are those of the published base checkpoint.

    Attributes:
        num_speakers: Number of estimates `<J>`.
        filters: Features of the waveform encoder `<F_0>`.
        kernel_size: Its window [samples].
        stride: Distance of its frames [samples]; divides `kernel_size`.
        channels: Channels of the separator `<F>`; a multiple of `heads`.
        stages: Halvings of the frame rate on the way down `<R>`.
        heads: Attention heads.
        farthest: Frames of the coarsest scale beyond which a distance is not told from a larger.
        local_kernel: Kernel of the convolutional attention [frames]; odd.
        down_kernel: Kernel of the halving convolutions [frames]; odd.
    """

    num_speakers: int = 2
    filters: int = 256
    kernel_size: int = 16
    stride: int = 4
    channels: int = 128
    stages: int = 4
    heads: int = 8
    farthest: int = 2000
    local_kernel: int = 65
    down_kernel: int = 5

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.kernel_size < self.stride or self.kernel_size % self.stride:
            raise ValueError(f"stride must divide kernel_size: {self.stride}, {self.kernel_size}")
        if self.channels % self.heads:
            raise ValueError(f"channels must be a multiple of heads: {self.channels}")
        if self.local_kernel % 2 == 0 or self.down_kernel % 2 == 0:
            raise ValueError("local_kernel and down_kernel must be odd")


class Network(nn.Module):
    """SepReformer: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        kernel, stride = config.kernel_size, config.stride
        self.audio_encoder = nn.ModuleDict(
            {"conv1d": nn.Conv1d(1, config.filters, kernel, stride, bias=False)}
        )
        self.feature_projector = Projector(config)
        self.separator = Separator(config)
        self.out_layer = Output(config)
        self.audio_decoder = nn.ConvTranspose1d(config.filters, 1, kernel, stride, bias=False)
        # of the training loss only
        self.out_layer_bn = nn.ModuleList(Output(config) for _ in range(config.stages))
        self.decoder_bn = nn.ModuleList(
            nn.ConvTranspose1d(config.filters, 1, kernel, stride, bias=False)
            for _ in range(config.stages)
        )

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]` of any length ≥ 1."""
        # B: batch, J: speakers, L: frames, N: filters, C: channels
        batch, time = mixture.shape
        least = max(time, self.config.kernel_size)
        padded = F.pad(mixture, (0, least - time + -least % self.config.stride))
        encoded = F.gelu(self.audio_encoder["conv1d"](padded.unsqueeze(1)))  # [B, N, L]
        features = self.feature_projector(encoded)  # [B, L, C]
        frames = features.shape[1]
        streams = self.separator(F.pad(features, (0, 0, 0, -frames % 2**self.config.stages)))
        decoded = self.out_layer(streams[:, :frames]).transpose(1, 2)  # [B*J, N, L]
        estimates: Tensor = self.audio_decoder(decoded)
        return estimates.view(batch, -1, padded.shape[-1])[..., :time]


class Projector(nn.Module):
    """Encoded mixture `[batch, filters, frames]` → features `[batch, frames, channels]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, config.filters, eps=EPS)
        self.conv1d = nn.Conv1d(config.filters, config.channels, 1, bias=False)

    def forward(self, encoded: Tensor) -> Tensor:
        """Features `[batch, frames, channels]`."""
        features: Tensor = self.conv1d(self.norm(encoded))
        return features.transpose(1, 2)


class Output(nn.Module):
    """Streams `[rows, frames, channels]` → what is decoded, `[rows, frames, filters]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim = config.channels
        self.end_conv1x1 = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GLU(), nn.Linear(2 * dim, config.filters)
        )

    def forward(self, streams: Tensor) -> Tensor:
        """Decoder input `[rows, frames, filters]`."""
        output: Tensor = self.end_conv1x1(streams)
        return output


class Separator(nn.Module):
    """Features `[batch, frames, channels]` → streams `[batch * speakers, frames, channels]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim = config.channels
        self.pos_emb = RelativePositions(dim // config.heads, config.farthest)
        self.enc_stages = nn.ModuleList(EncoderStage(config) for _ in range(config.stages))
        self.bottleneck_G = EncoderStage(config, halves=False)
        self.spk_split_block = SpeakerSplit(config)  # one for all scales
        self.simple_fusion = nn.ModuleList(nn.Conv1d(2 * dim, dim, 1) for _ in range(config.stages))
        self.dec_stages = nn.ModuleList(DecoderStage(config) for _ in range(config.stages))

    def forward(self, features: Tensor) -> Tensor:
        """Streams of the speakers; the frames are a multiple of 2 to the number of stages."""
        positions = self.pos_emb(features.shape[1] // 2 ** len(self.enc_stages))
        skips = []
        for stage in self.enc_stages:
            skip, features = stage(features, positions)
            skips.append(self.spk_split_block(skip))
        features, _ = self.bottleneck_G(features, positions)
        streams: Tensor = self.spk_split_block(features)
        for fuse, stage in zip(self.simple_fusion, self.dec_stages, strict=True):
            doubled = streams.repeat_interleave(2, 1)
            both = torch.cat((doubled, skips.pop()), 2)  # [B*J, L, 2C]
            streams = stage(fuse(both.transpose(1, 2)).transpose(1, 2), positions)
        return streams


class RelativePositions(nn.Module):
    """Learned vectors of distances (Shaw et al., 2018, https://arxiv.org/abs/1803.02155)."""

    def __init__(self, width: int, farthest: int) -> None:
        super().__init__()
        self.farthest = farthest
        self.pe_k = nn.Embedding(2 * farthest, width)

    def forward(self, frames: int) -> Tensor:
        """Vector from each frame to each other, `[frames, frames, width]`."""
        place = torch.arange(frames, device=self.pe_k.weight.device)
        distance = (place.unsqueeze(1) - place).clamp(-self.farthest, self.farthest - 1)
        vectors: Tensor = self.pe_k(distance + self.farthest)
        return vectors


class EncoderStage(nn.Module):
    """Two global and two local blocks in turn; then, but for the last, half as many frames."""

    def __init__(self, config: Config, *, halves: bool = True) -> None:
        super().__init__()
        self.g_block_1, self.l_block_1 = GlobalBlock(config), LocalBlock(config)
        self.g_block_2, self.l_block_2 = GlobalBlock(config), LocalBlock(config)
        self.downconv = Halving(config) if halves else None

    def forward(self, features: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Features `[batch, frames, channels]`, and the same at half the rate."""
        features = self.l_block_1(self.g_block_1(features, positions))
        features = self.l_block_2(self.g_block_2(features, positions))
        return features, features if self.downconv is None else self.downconv(features)


class Halving(nn.Module):
    """Depthwise convolution over every second frame."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim, kernel = config.channels, config.down_kernel
        self.down_conv = nn.Conv1d(dim, dim, kernel, 2, kernel // 2, groups=dim)
        self.BN = nn.BatchNorm1d(dim)

    def forward(self, features: Tensor) -> Tensor:
        """Features `[batch, frames / 2, channels]`."""
        return F.gelu(self.BN(self.down_conv(features.transpose(1, 2)))).transpose(1, 2)


class SpeakerSplit(nn.Module):
    """Features `[batch, frames, channels]` → streams `[batch * speakers, frames, channels]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim, wide = config.channels, config.channels * config.num_speakers
        self.linear = nn.Sequential(
            nn.Conv1d(dim, 4 * wide, 1), nn.GLU(1), nn.Conv1d(2 * wide, wide, 1)
        )
        self.norm = nn.GroupNorm(1, dim, eps=EPS)

    def forward(self, features: Tensor) -> Tensor:
        """Streams, those of a row beside each other."""
        _, frames, dim = features.shape
        split = self.linear(features.transpose(1, 2)).view(-1, dim, frames)  # [B*J, C, L]
        streams: Tensor = self.norm(split)
        return streams.transpose(1, 2)


class DecoderStage(nn.Module):
    """A global and a local block and one across speakers, three times."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        for number in (1, 2, 3):
            self.add_module(f"g_block_{number}", GlobalBlock(config))
            self.add_module(f"l_block_{number}", LocalBlock(config))
            self.add_module(f"spk_attn_{number}", SpeakerBlock(config))

    def forward(self, streams: Tensor, positions: Tensor) -> Tensor:
        """Streams `[batch * speakers, frames, channels]`."""
        for number in (1, 2, 3):
            streams = self.get_submodule(f"g_block_{number}")(streams, positions)
            streams = self.get_submodule(f"l_block_{number}")(streams)
            streams = self.get_submodule(f"spk_attn_{number}")(streams)
        return streams


class GlobalBlock(nn.Module):
    """Attention between far frames, and a feed-forward layer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        ega = nn.ModuleDict({"block": GatedAttention(config)})
        self.block = nn.ModuleDict({"ega": ega, "gcfn": GatedFeedForward(config)})

    def forward(self, features: Tensor, positions: Tensor) -> Tensor:
        """Features `[rows, frames, channels]`."""
        features = self.block["ega"]["block"](features, positions)  # type: ignore[index]
        refined: Tensor = self.block["gcfn"](features)
        return refined


class LocalBlock(nn.Module):
    """Attention to near frames by convolution, and a feed-forward layer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.block = nn.ModuleDict(
            {"cla": LocalAttention(config), "gcfn": GatedFeedForward(config)}
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features `[rows, frames, channels]`."""
        refined: Tensor = self.block["gcfn"](self.block["cla"](features))
        return refined


class SpeakerBlock(nn.Module):
    """Attention of each frame of a speaker to the same frame of the others (cross-speaker)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.num_speakers = config.num_speakers
        self.self_attn = Attention(config)
        self.feed_forward = GatedFeedForward(config)

    def forward(self, streams: Tensor) -> Tensor:
        """Streams `[batch * speakers, frames, channels]`."""
        _, frames, dim = streams.shape
        beside = streams.view(-1, self.num_speakers, frames, dim).transpose(1, 2)  # [B, L, J, C]
        attended = self.self_attn(beside.flatten(0, 1)).view(beside.shape).transpose(1, 2)
        refined: Tensor = self.feed_forward(streams + attended.reshape(streams.shape))
        return refined


class GatedAttention(nn.Module):
    """Efficient global attention (EGA): at the coarsest scale, let through where it matters."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim = config.channels
        self.self_attn = Attention(config)
        self.linear = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.Sigmoid())

    def forward(self, features: Tensor, positions: Tensor) -> Tensor:
        """Features `[rows, frames, channels]`; the frames are a multiple of the positions."""
        rows, frames, dim = features.shape
        ratio = frames // len(positions)
        coarse = features.view(rows, -1, ratio, dim).mean(2)
        attended = self.self_attn(coarse, positions).repeat_interleave(ratio, 1)
        refined: Tensor = features + self.linear(features) * attended
        return refined


class Attention(nn.Module):
    """Multi-head self-attention, with relative positions where they are given; adds no skip."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim = config.channels
        self.heads = config.heads
        self.layer_norm = nn.LayerNorm(dim)
        self.linear_q, self.linear_k = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.linear_v, self.linear_out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.Layer_scale = LayerScale(dim)

    def forward(self, features: Tensor, positions: Tensor | None = None) -> Tensor:
        """Attended features `[rows, steps, channels]`; positions are `[steps, steps, width]`."""
        # R: rows, H: heads, P: steps, W: width of a head
        rows, steps, _ = features.shape
        normed = self.layer_norm(features)
        query, key, value = (
            linear(normed).view(rows, steps, self.heads, -1).transpose(1, 2)  # [R, H, P, W]
            for linear in (self.linear_q, self.linear_k, self.linear_v)
        )
        scores = query @ key.transpose(2, 3)  # [R, H, P, P]
        if positions is not None:
            scores = scores + torch.einsum("rhiw,ijw->rhij", query, positions)
        mixed = (scores * query.shape[-1] ** -0.5).softmax(-1) @ value
        attended: Tensor = self.Layer_scale(self.linear_out(mixed.transpose(1, 2).flatten(2)))
        return attended


class LocalAttention(nn.Module):
    """Convolutional local attention (CLA): a long depthwise convolution between gates."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim, kernel = config.channels, config.local_kernel
        self.layer_norm = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, 2 * dim)
        self.dw_conv_1d = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.linear2 = nn.Linear(dim, 2 * dim)
        self.BN = nn.BatchNorm1d(2 * dim)
        self.linear3 = nn.Sequential(nn.GELU(), nn.Linear(2 * dim, dim))
        self.Layer_scale = LayerScale(dim)

    def forward(self, features: Tensor) -> Tensor:
        """Features `[rows, frames, channels]`."""
        gated = F.glu(self.linear1(self.layer_norm(features)))
        wide = self.linear2(self.dw_conv_1d(gated.transpose(1, 2)).transpose(1, 2))
        normed = self.BN(wide.transpose(1, 2)).transpose(1, 2)
        refined: Tensor = features + self.Layer_scale(self.linear3(normed))
        return refined


class GatedFeedForward(nn.Module):
    """Gated convolutional feed-forward network (GCFN): three frames wide."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim, wide = config.channels, 2 * EXPANSION * config.channels
        self.net1 = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, wide))
        self.depthwise = nn.Conv1d(wide, wide, 3, padding=1, groups=wide)
        self.net2 = nn.Sequential(nn.GLU(), nn.Identity(), nn.Linear(wide // 2, dim))
        self.Layer_scale = LayerScale(dim)

    def forward(self, features: Tensor) -> Tensor:
        """Features `[rows, frames, channels]`."""
        wide = self.depthwise(self.net1(features).transpose(1, 2)).transpose(1, 2)
        refined: Tensor = features + self.Layer_scale(self.net2(wide))
        return refined


class LayerScale(nn.Module):
    """A gain of each channel, tiny at first, so that a block begins as an identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer_scale = nn.Parameter(torch.full((1, 1, dim), 1e-5))

    def forward(self, features: Tensor) -> Tensor:
        """Scaled features `[rows, frames, channels]`."""
        return features * self.layer_scale
