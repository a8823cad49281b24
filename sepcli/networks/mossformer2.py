"""MossFormer2: gated attention with convolutions, and feed-forward memory instead of recurrence.

Follows "MossFormer2: combining transformer and RNN-free recurrent network for enhanced time-domain
monaural speech separation" (Zhao et al., ICASSP 2024, https://arxiv.org/abs/2312.11825), figures 1
to 3, and the checkpoints published with it. Each layer is a gated single-head attention, quadratic
inside groups of frames and linear across them (FLASH, https://arxiv.org/abs/2202.10447), and a
gated memory block whose convolutions reach as far as a recurrent layer would.

Letters in comments: B batch, T time, L frames, N channels, C speakers, M memory channels, H
channels of values and gates together, Q query channels, G groups, P frames of a group.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers import (
    Encoder,
    GlobalNorm,
    Rotary,
    check_sizes,
    decode,
    depthwise,
    encode,
    gated_masks,
    linear,
    pointwise,
)

EPS = 1e-8  # of the norms over a whole recording
TAPS = 17  # of the convolution in a ConvLinear
MEMORY_TAPS = 39  # of the convolutions of the memory
ROTARY_CHANNELS = 32


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of the network; the defaults are those of the paper.

    Attributes:
        num_speakers: Number of estimates `<C>`.
        channels: Channels of the encoder and the masker, even `<N>`.
        kernel_size: Length of an encoder frame [samples]; frames are half of it apart.
        layers: Pairs of an attention and a memory block `<R>`.
        memory_channels: Channels inside a memory block, even.
        group: Length of a group of the quadratic attention [frames].
        query_channels: Channels of queries and keys, even.
        expansion: Channels of values and gates together, over `channels`.
        mapping: Give features of the estimates, not masks; so does the checkpoint for WHAMR!.
    """

    num_speakers: int = 2
    channels: int = 512
    kernel_size: int = 16
    layers: int = 24
    memory_channels: int = 256
    group: int = 256
    query_channels: int = 128
    expansion: int = 4
    mapping: bool = False

    def __post_init__(self) -> None:
        check_sizes(self, kernel_size=2)
        for name in ("channels", "memory_channels", "query_channels"):
            if getattr(self, name) % 2:
                raise ValueError(f"{name} must be even: {getattr(self, name)}")


class Network(nn.Module):
    """MossFormer2: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.enc = Encoder(config.channels, config.kernel_size)
        self.mask_net = Masker(config)
        self.dec = nn.ConvTranspose1d(config.channels, 1, config.kernel_size, bias=False)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]` of any length ≥ 1."""
        stride = self.config.kernel_size // 2
        features = encode(mixture, self.enc.conv1d.weight, stride)  # [B, L, N]
        masked = self.mask_net(features)  # [B, L, C, N]
        if not self.config.mapping:
            masked = masked * features.unsqueeze(2)
        return decode(masked, self.dec.weight, stride, mixture.shape[-1])  # [B, C, T]


class Masker(nn.Module):
    """Features `[batch, frames, N]` → masks `[batch, frames, speakers, N]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim = config.channels
        self.num_speakers = config.num_speakers
        self.norm = GlobalNorm((dim,), EPS)
        self.conv1d_encoder = nn.Conv1d(dim, dim, 1, bias=False)
        self.pos_enc = Positions(dim)
        self.mdl = Middle(config)
        self.conv1d_out = nn.Conv1d(dim, dim * config.num_speakers, 1)
        self.conv1_decoder = nn.Conv1d(dim, dim, 1, bias=False)
        self.prelu = nn.PReLU()
        self.output = nn.Sequential(nn.Conv1d(dim, dim, 1))
        self.output_gate = nn.Sequential(nn.Conv1d(dim, dim, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return masks, `[batch, frames, speakers, N]`."""
        batch, frames, _ = features.shape
        features = pointwise(self.norm(features), self.conv1d_encoder)  # [B, L, N]
        features = self.mdl(features + self.pos_enc(frames))
        features = pointwise(self.prelu(features), self.conv1d_out)
        features = features.view(batch, frames, self.num_speakers, -1)  # [B, L, C, N]
        return gated_masks(features, self.output[0], self.output_gate[0], self.conv1_decoder.weight)


class Positions(nn.Module):
    """Sines, then cosines, of all positions, times one learned number."""

    inv_freq: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        rates = 10000 ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)
        self.register_buffer("inv_freq", 1.0 / rates)

    def forward(self, frames: int) -> Tensor:
        """Return `[frames, dim]`."""
        rates = self.inv_freq
        angles = torch.arange(frames, dtype=rates.dtype, device=rates.device).unsqueeze(1) * rates
        return torch.cat([angles.sin(), angles.cos()], -1) * self.scale


class Middle(nn.Module):
    """All layers, a norm over channels, one over the recording, and a skip around them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        norm = nn.LayerNorm(config.channels, 1e-6)
        self.intra_mdl = nn.ModuleDict({"mossformerM": Layers(config), "norm": norm})
        self.intra_norm = GlobalNorm((config.channels,), EPS)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, N]` for the same."""
        deep = self.intra_mdl["norm"](self.intra_mdl["mossformerM"](features))
        normed: Tensor = self.intra_norm(deep, residual=features)
        return normed


class Layers(nn.Module):
    """Pairs of attention and memory."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        rotary = Rotary(min(ROTARY_CHANNELS, config.query_channels))  # one, stored once a layer
        self.layers = nn.ModuleList(Attention(config, rotary) for _ in range(config.layers))
        self.fsmn = nn.ModuleList(MemoryBlock(config) for _ in range(config.layers))

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, N]` for the same."""
        for attention, memory in zip(self.layers, self.fsmn, strict=True):
            features = memory(attention(features))
        return features


class Attention(nn.Module):
    """Gated attention: quadratic inside groups, linear over the whole recording, and a skip."""

    def __init__(self, config: Config, rotary: Rotary) -> None:
        super().__init__()
        dim = config.channels
        hidden = dim * config.expansion
        self.group = config.group
        self.rotary_pos_emb = rotary
        self.to_hidden = ConvLinear(ScaleNorm(), dim, hidden)
        self.to_qk = ConvLinear(ScaleNorm(), dim, config.query_channels)
        self.qk_offset_scale = Heads(config.query_channels)
        self.to_out = ConvLinear(ScaleNorm(), hidden // 2, dim)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, N]` for the same."""
        shifted = half_late(features)
        both = self.to_hidden(shifted)  # values and gates, [B, L, H]
        value, gate = both.chunk(2, -1)
        seen_value, seen_gate = self.attend(self.heads(shifted), both).chunk(2, -1)
        gated = (seen_gate * value) * torch.sigmoid(seen_value * gate)  # [B, L, H / 2]
        summed: Tensor = features + self.to_out(gated)
        return summed

    def heads(self, shifted: Tensor) -> Tensor:
        """Return queries (near, far) and keys (near, far), turned, `[4, batch, frames, Q]`."""
        heads = self.qk_offset_scale(self.to_qk(shifted))  # [4, B, L, Q]
        width = 2 * len(self.rotary_pos_emb.freqs)
        return torch.cat([self.rotary_pos_emb(heads[..., :width]), heads[..., width:]], -1)

    def attend(self, heads: Tensor, both: Tensor) -> Tensor:
        """Return what each frame sees in its group and in the whole recording, `[B, L, H]`."""
        frames = both.shape[1]
        query, far_query, key, far_key = (self.grouped(head) for head in heads)  # [B, G, P, Q]
        values = self.grouped(both)  # [B, G, P, H]
        weights = (query @ key.mT / self.group).relu().square()  # [B, G, P, P]
        summary = (far_key.mT @ values).sum(1, keepdim=True) / frames  # [B, 1, Q, H]
        seen = weights @ values + far_query @ summary  # [B, G, P, H]
        return seen.flatten(1, 2)[:, :frames]

    def grouped(self, features: Tensor) -> Tensor:
        """Return `[batch, groups, group, channels]`, zeros at the end, for `[batch, frames, …]`."""
        padded = F.pad(features, (0, 0, 0, -features.shape[1] % self.group))
        return padded.view(len(padded), -1, self.group, padded.shape[2])


def half_late(features: Tensor) -> Tensor:
    """Return features `[batch, frames, N]` with half of the channels a frame later."""
    late, own = features.chunk(2, -1)
    return torch.cat([F.pad(late[:, :-1], (0, 0, 1, 0)), own], -1)


class Heads(nn.Module):
    """Four versions of one map, each with its own gain and offset."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(nn.init.normal_(torch.empty(4, dim), std=0.02))
        self.beta = nn.Parameter(torch.zeros(4, dim))

    def forward(self, shared: Tensor) -> Tensor:
        """Return `[4, batch, frames, Q]` for `[batch, frames, Q]`."""
        return shared * self.gamma[:, None, None] + self.beta[:, None, None]


class ScaleNorm(nn.Module):
    """Norm to a root mean square of one number `g`, frame by frame."""

    def __init__(self) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1))

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        return unit_scale(features) * self.g


class ConvLinear(nn.Module):
    """Norm, linear layer, SiLU, then a depthwise convolution over time added to what it gets.

    Keys are `mdl.0.*` (norm), `mdl.1.*` (linear) and `mdl.3.sequential.1.conv.weight`.
    """

    def __init__(self, norm: nn.Module, inputs: int, outputs: int) -> None:
        super().__init__()
        conv = nn.Conv1d(outputs, outputs, TAPS, groups=outputs, bias=False)
        inner = nn.ModuleDict({"sequential": nn.ModuleDict({"1": nn.ModuleDict({"conv": conv})})})
        self.mdl = nn.ModuleDict({"0": norm, "1": nn.Linear(inputs, outputs), "3": inner})

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, outputs]` for `[batch, frames, inputs]`."""
        last = self.mdl["1"]
        weight, bias = last.get_parameter("weight"), last.get_parameter("bias")
        wide = linear(self.mdl["0"](features), weight, bias, activation="silu")
        return wide + depthwise(wide, self.get_parameter("mdl.3.sequential.1.conv.weight"))


class MemoryBlock(nn.Module):
    """Gated memory in fewer channels, with norms before and after it and a skip."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim, inner = config.channels, config.memory_channels
        self.conv1 = nn.Sequential(nn.Conv1d(dim, inner, 1), nn.PReLU())
        self.norm1 = nn.LayerNorm(inner)
        self.gated_fsmn = GatedMemory(inner)
        self.norm2 = nn.LayerNorm(inner)
        self.conv2 = nn.Conv1d(inner, dim, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, N]` for the same."""
        narrow, rectify = self.conv1
        inner = self.norm1(pointwise(features, narrow, prelu=rectify))  # [B, L, M]
        inner = self.norm2(self.gated_fsmn(inner))
        return pointwise(inner, self.conv2, residual=features)  # [B, L, N]


class GatedMemory(nn.Module):
    """Memory of one map, gated by another, and a skip."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.to_u = ConvLinear(nn.LayerNorm(dim), dim, dim)
        self.to_v = ConvLinear(nn.LayerNorm(dim), dim, dim)
        self.fsmn = Memory(dim)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, M]` for the same."""
        remembered: Tensor = features + self.fsmn(self.to_u(features)) * self.to_v(features)
        return remembered


class Memory(nn.Module):
    """Feed-forward memory: two linear maps, dilated convolutions, and a skip."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.project = nn.Linear(dim, dim, bias=False)
        self.conv = DenseConvolutions(dim)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, M]` for the same."""
        inner = linear(features, self.linear.weight, self.linear.bias, activation="relu")
        seen: Tensor = features + self.conv(linear(inner, self.project.weight))
        return seen


class DenseConvolutions(nn.Module):
    """Two convolutions over time; the second one, dilated, sees the input and the first's output.

    Each of its groups has two neighbouring channels of the two, side by side.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, (MEMORY_TAPS, 1), groups=dim, bias=False)
        self.norm1 = nn.InstanceNorm2d(dim, affine=True)
        self.prelu1 = nn.PReLU(dim)
        self.conv2 = nn.Conv2d(2 * dim, dim, (MEMORY_TAPS, 1), groups=dim, bias=False)
        self.norm2 = nn.InstanceNorm2d(dim, affine=True)
        self.prelu2 = nn.PReLU(dim)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, M]` for the same."""
        first = depthwise(features, self.conv1.weight.squeeze(3))
        first = time_norm(first, self.norm1.weight, self.norm1.bias, self.prelu1.weight)
        both = torch.cat([first, features], 2)  # [B, L, 2 * M]
        pairs = both.view(*features.shape, 2).movedim(3, 1)  # [B, 2, L, M]
        second = depthwise(pairs, self.conv2.weight.squeeze(3), dilation=2)
        return time_norm(second, self.norm2.weight, self.norm2.bias, self.prelu2.weight)


def unit_scale(features: Tensor) -> Tensor:
    """Return features divided by the root mean square of each frame."""
    norm: Tensor = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
    return features / (norm / math.sqrt(features.shape[-1])).clamp_min(1e-5)


def time_norm(features: Tensor, gain: Tensor, offset: Tensor, slope: Tensor) -> Tensor:
    """Return each channel normalised over the whole recording, then a PReLU of it.

    Args:
        features: `[batch, frames, channels]`.
        gain: Of each channel.
        offset: Of each channel.
        slope: Of each channel, the PReLU's.
    """
    # Batch norm of one row is instance norm, and has a kernel for channels last.
    rows = [
        torch.batch_norm(row.t()[None, :, None], gain, offset, None, None, True, 0, 1e-5, True)
        for row in features
    ]
    normed = rows[0] if len(rows) == 1 else torch.cat(rows)
    return F.prelu(normed, slope).squeeze(2).transpose(1, 2)
