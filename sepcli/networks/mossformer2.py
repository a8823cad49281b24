"""MossFormer2: gated attention with convolutions, and feed-forward memory instead of recurrence.

Follows "MossFormer2: combining transformer and RNN-free recurrent network for enhanced time-domain
monaural speech separation" (Zhao et al., ICASSP 2024, https://arxiv.org/abs/2312.11825), figures 1
to 3, and the checkpoints published with it. Each layer is a gated single-head attention, quadratic
inside groups of frames and linear across them (FLASH, https://arxiv.org/abs/2202.10447), and a
gated memory block whose convolutions reach as far as a recurrent layer would.

Deviations: none in the numbers; groups run one after the other, to save memory.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers import (
    Encoder,
    GlobalNorm,
    Prepared,
    decode,
    depthwise,
    encode,
    gated_masks,
    linear,
    pointwise,
    time_norm,
    unit_scale,
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
        channels: Channels of the encoder and the masker `<N>`.
        kernel_size: Length of an encoder frame [samples]; frames are half of it apart.
        layers: Pairs of an attention and a memory block `<R>`.
        memory_channels: Channels inside a memory block, an even number.
        group: Length of a group of the quadratic attention [frames].
        query_channels: Channels of queries and keys.
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
        # B: batch, T: time, L: frames, N: channels, C: speakers
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
        # B: batch, L: frames, N: channels, C: speakers
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
        self.register_buffer("inv_freq", rates(dim))

    def forward(self, frames: int) -> Tensor:
        """Return `[frames, dim]`."""
        angles = frame_angles(frames, self.inv_freq)
        return torch.cat([angles.sin(), angles.cos()], -1) * self.scale


def rates(dim: int) -> Tensor:
    """Return the angular rates of sinusoidal positions, `[dim / 2]`, radians a frame."""
    return 1.0 / 10000 ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)


def frame_angles(frames: int, rate: Tensor) -> Tensor:
    """Return the angle of each frame at each rate, `[frames, rates]`."""
    return torch.arange(frames, dtype=rate.dtype, device=rate.device).unsqueeze(1) * rate


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
        rotary = min(ROTARY_CHANNELS, config.query_channels)
        shared = nn.Parameter(rates(rotary), requires_grad=False)  # stored once a layer
        self.layers = nn.ModuleList(Attention(config, shared) for _ in range(config.layers))
        self.fsmn = nn.ModuleList(MemoryBlock(config) for _ in range(config.layers))

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, N]` for the same."""
        turn = self.layers[0].get_submodule("rotary_pos_emb")(features.shape[1])  # of all layers
        for attention, memory in zip(self.layers, self.fsmn, strict=True):
            features = memory(attention(features, turn))
        return features


class Attention(nn.Module):
    """Gated attention: quadratic inside groups, linear over the whole recording, and a skip."""

    def __init__(self, config: Config, rate: nn.Parameter) -> None:
        super().__init__()
        dim = config.channels
        inner = dim * config.expansion
        self.group = config.group
        self.rotary_pos_emb = Rotary(rate)
        self.to_hidden = ConvLinear(dim, inner)
        self.to_qk = ConvLinear(dim, config.query_channels)
        self.qk_offset_scale = Heads(config.query_channels)
        self.to_out = ConvLinear(inner // 2, dim)

    def forward(self, features: Tensor, turn: Tensor) -> Tensor:
        """Return `[batch, frames, N]` for the same; `turn` is what `Rotary` returns."""
        out: Tensor = self.to_out(self._gated(features, turn))
        return out.to(features.dtype).add_(features)  # narrower where autocast made it so

    def _gated(self, features: Tensor, turn: Tensor) -> Tensor:
        """Return what the last layer sees, `[batch, frames, H/2]` of unit scale."""
        # L: frames, H: channels of values and gates together, Q: query channels
        unit = unit_scale(half_late(features))
        scale = (1 / self.group, 1.0, 1.0, 1 / features.shape[1])
        heads = self.qk_offset_scale(self.to_qk(unit), scale, turn)  # [4, B, L, Q]
        both = self.to_hidden(unit)  # [B, L, H]
        del unit  # so that its memory can be had
        rows = [self._row(both[row], heads[:, row]) for row in range(len(features))]
        return torch.stack(rows) if len(rows) > 1 else rows[0].unsqueeze(0)

    def _row(self, both: Tensor, heads: Tensor) -> Tensor:
        """Return the same for one row of the batch, `[frames, H/2]`."""
        query, far_query, key, far_key = heads
        far = linear(far_key.t().contiguous(), both.t())  # [Q, H], what all frames say
        half = both.shape[1] // 2
        result = both.new_empty(len(both), half)
        kept = torch.cat([far, both[: self.group]])
        for start in range(0, len(both), self.group):
            near = slice(start, start + self.group)
            weights = linear(query[near], key[near], activation="relu").square()
            # One product for what the group says and what all frames say: a sum less over memory.
            weights = torch.cat([far_query[near], weights], -1)
            kept = kept.clone() if torch.is_grad_enabled() else kept  # the gradient needs them all
            rows = kept[: weights.shape[1]]
            rows[len(far) :] = both[near]
            seen = linear(weights, rows.t())
            gate = (seen[:, :half] * both[near, half:]).sigmoid_()
            result[near] = unit_scale((seen[:, half:] * both[near, :half]).mul_(gate))
        return result


def half_late(features: Tensor) -> Tensor:
    """Return features `[batch, frames, N]` with half of the channels a frame later."""
    half = features.shape[-1] // 2
    late = features.clone()
    late[:, 0, :half] = 0
    late[:, 1:, :half] = features[:, :-1, :half]
    return late


class Rotary(nn.Module):
    """Rotary positions on the first channels."""

    def __init__(self, rate: nn.Parameter) -> None:
        super().__init__()
        self.freqs = rate

    def forward(self, frames: int) -> Tensor:
        """Return the turn of each frame and pair of channels, `[frames, pairs]`, complex."""
        angles = frame_angles(frames, self.freqs)
        return torch.polar(torch.ones_like(angles), angles)


class Heads(nn.Module):
    """Four versions of one map of queries and keys, each with its own gain and offset."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(nn.init.normal_(torch.empty(4, dim), std=0.02))
        self.beta = nn.Parameter(torch.zeros(4, dim))

    def forward(self, shared: Tensor, scale: tuple[float, ...], turn: Tensor) -> Tensor:
        """Return queries (near, far) and keys, `[4, batch, frames, Q]`, times scale and turned."""
        factors = self.gamma.new_tensor(scale).view(-1, 1, 1, 1)
        gain, offset = (each[:, None, None] * factors for each in (self.gamma, self.beta))
        heads = torch.addcmul(offset, shared, gain).contiguous()  # as `shared`, which may not be
        pairs = heads[..., : 2 * turn.shape[-1]].view(*heads.shape[:-1], -1, 2)
        torch.view_as_complex(pairs).mul_(turn)  # in place
        return heads


class ConvLinear(Prepared):
    """Norm, linear layer, SiLU, then a depthwise convolution over time added to what it gets.

    Keys are `mdl.0.*` (norm), `mdl.1.*` (linear) and `mdl.3.sequential.1.conv.weight`.
    """

    sources = ("mdl",)

    def __init__(self, inputs: int, outputs: int, norm: nn.LayerNorm | None = None) -> None:
        super().__init__()
        first = norm or nn.ParameterDict({"g": torch.ones(1)})  # one gain after `unit_scale`
        conv = nn.Conv1d(outputs, outputs, TAPS, groups=outputs, bias=False)
        inner = nn.ModuleDict({"sequential": nn.ModuleDict({"1": nn.ModuleDict({"conv": conv})})})
        self.mdl = nn.ModuleDict({"0": first, "1": nn.Linear(inputs, outputs), "3": inner})

    def forward(self, normed: Tensor) -> Tensor:
        """Return `[batch, frames, outputs]` for features normalised without gain and offset."""
        weight, bias, taps = self.weights()
        return depthwise(linear(normed, weight, bias, activation="silu"), taps)

    def _made(self) -> list[Tensor]:
        names = ("mdl.1.weight", "mdl.1.bias", "mdl.3.sequential.1.conv.weight")
        weight, bias, filters = map(self.get_parameter, names)
        taps = filters + F.pad(filters.new_ones(1, 1, 1), (TAPS // 2, TAPS // 2))  # and the skip
        norm = self.mdl["0"]
        if isinstance(norm, nn.LayerNorm):
            return [weight * norm.weight, bias + weight @ norm.bias, taps]
        return [weight * norm.get_parameter("g"), bias, taps]


class MemoryBlock(Prepared):
    """Gated memory in fewer channels, with norms before and after it and a skip."""

    sources = ("conv1", "conv2")

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
        into, offset, slope, out, last_offset = self.weights()
        narrow = linear(features, into, offset, activation="prelu", slope=slope)
        narrow = self.norm2(self.gated_fsmn(self.norm1(narrow)))
        return linear(narrow, out, last_offset, residual=features)

    def _made(self) -> list[Tensor]:
        names = ("conv1.0.weight", "conv1.0.bias", "conv1.1.weight", "conv2.weight", "conv2.bias")
        made = map(self.get_parameter, names)
        return [each.flatten(1) if each.dim() > 1 else each for each in made]


class GatedMemory(nn.Module):
    """Memory of one map, gated by another, and a skip."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.to_u = ConvLinear(dim, dim, nn.LayerNorm(dim))
        self.to_v = ConvLinear(dim, dim, nn.LayerNorm(dim))
        self.fsmn = Memory(dim)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, dim]` for the same."""
        normed = F.layer_norm(features, features.shape[-1:])
        return torch.addcmul(features, self.fsmn(self.to_u(normed)), self.to_v(normed))


class Memory(Prepared):
    """Feed-forward memory: two linear maps, dilated convolutions, and a skip."""

    sources = ("linear", "project")

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.project = nn.Linear(dim, dim, bias=False)
        self.conv = DenseConvolutions(dim)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, dim]` for the same."""
        weight, bias, project = self.weights()
        inner = linear(features, weight, bias, activation="relu")
        seen: Tensor = self.conv(linear(inner, project))
        return seen.add_(features)

    def _made(self) -> list[Tensor]:
        return [self.linear.weight, self.linear.bias, evens_first(self.project.weight)]


class DenseConvolutions(Prepared):
    """Two convolutions over time; the second one, dilated, sees the input and the first's output.

    Each of its groups has two neighbouring channels of the two, side by side. Where even channels
    come before odd ones, these are two maps whose convolutions add up inside one kernel.
    """

    sources = ("conv1", "norm1", "prelu1", "conv2", "norm2", "prelu2")

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, (MEMORY_TAPS, 1), groups=dim, bias=False)
        self.norm1 = nn.InstanceNorm2d(dim, affine=True)
        self.prelu1 = nn.PReLU(dim)
        self.conv2 = nn.Conv2d(2 * dim, dim, (MEMORY_TAPS, 1), groups=dim, bias=False)
        self.norm2 = nn.InstanceNorm2d(dim, affine=True)
        self.prelu2 = nn.PReLU(dim)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, dim]` for the same with even channels before odd ones."""
        batch, frames, dim = features.shape
        half = dim // 2
        taps, *norm, last_taps, last_gain, last_offset, last_slope = self.weights()
        first = time_norm(depthwise(features, taps), *norm)
        even = frames + frames % 2  # so that the dilated convolution takes the maps as they are
        maps = first.new_empty(batch, 2, even, dim)
        maps[:, :, frames:] = 0
        for index, own in enumerate((slice(half), slice(half, dim))):
            maps[:, index, :frames, :half] = first[..., own]
            maps[:, index, :frames, half:] = features[..., own]
        second = depthwise(maps, last_taps, dilation=2)[:, :frames]
        return time_norm(second, last_gain, last_offset, last_slope)

    def _made(self) -> list[Tensor]:
        made = [each.squeeze(-1) if each.dim() > 1 else each for each in self.parameters()]
        return [*map(evens_first, made[:4]), *made[4:]]


def evens_first(weight: Tensor) -> Tensor:
    """Return rows 0, 2, … and then rows 1, 3, … of a weight."""
    return torch.cat([weight[0::2], weight[1::2]])
