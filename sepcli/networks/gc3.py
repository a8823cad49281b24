"""GroupComm and GC3: small networks shared by groups of features that talk to each other.

Luo, Han, Mesgarani, "Ultra-Lightweight Speech Separation via Group Communication", ICASSP 2021,
https://arxiv.org/abs/2011.08397, and "Group Communication with Context Codec for Lightweight
Source Separation", TASLP 29, 2021, https://arxiv.org/abs/2012.07291 (figures 1 and 3, table V).

The features of a frame are cut into groups; one narrow network serves every group, and a
transform-average-concatenate module (TAC) lets the groups exchange what they know. The context
codec squeezes a stretch of frames into one vector before that network and expands it after. Inside
works DPRNN, TCN, the U blocks of Sudo rm -rf, or DPTNet's transformer.

Layout: `[batch, group, frame, feature]`, see sepcli/networks/layers/groupcomm.py.

Letters in comments: B batch, T frames, N filters, G groups (K in the papers), W features of a
group, H hidden channels, L stretches or segments, K frames of one, S speakers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.networks.layers import (
    GlobalNorm,
    check_sizes,
    depthwise,
    half_overlap_padding,
    linear,
    merge,
    pointwise,
    segment,
)
from sepcli.networks.layers.groupcomm import TAC, by_group
from sepcli.networks.layers.sumblock import SumBlock


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of GC3; the defaults are those of the published class, with DPRNN inside.

    Attributes:
        num_speakers: Number of estimates <C>.
        num_filters: Features of a frame, a multiple of `num_groups` <N>.
        hidden: Width of the recurrent layers of all groups together <H>.
        window: Encoder window, twice its stride [samples].
        num_layers: Layers of the inner network; for TCN, dilations of a stack.
        num_groups: Groups of features <K>; G in comments.
        context: Frames the codec squeezes into one, even; 0 leaves the codec out [frames].
        segment: Length of a segment in the dual-path networks, even [frames].
        inner: Kind of the inner network.
        num_stacks: Stacks of dilations of the TCN.
        depth: Scales of a U block.
        num_heads: Attention heads of the transformer.
    """

    num_speakers: int = 2
    num_filters: int = 128
    hidden: int = 256
    window: int = 32
    num_layers: int = 6
    num_groups: int = 16
    context: int = 32
    segment: int = 24
    inner: Literal["dprnn", "tcn", "ublock", "transformer"] = "dprnn"
    num_stacks: int = 2
    depth: int = 5
    num_heads: int = 4

    def __post_init__(self) -> None:
        check_sizes(self, context=0)
        for name in ("window", "context", "segment"):
            if getattr(self, name) % 2:
                raise ValueError(f"{name} must be even: {getattr(self, name)}")
        if self.num_filters % self.num_groups:
            raise ValueError(f"num_filters must be a multiple of num_groups: {self.num_filters}")
        if self.inner == "transformer" and self.num_filters // self.num_groups % self.num_heads:
            raise ValueError(f"num_heads must divide num_filters / num_groups: {self.num_heads}")


class Network(nn.Module):
    """GC3, from the mixture's waveform to the estimates'."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.num_filters // config.num_groups
        filters, window, stride = config.num_filters, config.window, config.window // 2
        self.encoder = nn.Conv1d(1, filters, window, stride, bias=False)
        self.norm = GlobalNorm((filters,), 1e-5)
        if config.context:
            self.context_enc = ContextRNN(width, config)
            self.context_dec = ContextRNN(width, config)
        self.seq_model = inner_network(width, config)
        self.mask = nn.ModuleList([nn.Conv1d(width, config.num_speakers * width, 1)])
        self.decoder = nn.ConvTranspose1d(filters, 1, window, stride, bias=False)

    def forward(self, mixture: Tensor) -> Tensor:
        """Return the estimates, `[batch, time]` → `[batch, speakers, time]`."""
        encoded = self._encode(mixture)  # [B, T, N]
        groups = (*encoded.shape[:2], self.config.num_groups, -1)
        features = self.norm(encoded).view(groups).transpose(1, 2)  # [B, G, T, W]
        features = self._coded(features) if self.config.context else self.seq_model(features)
        return self._decode(features, encoded)[..., : mixture.shape[1]]

    def _encode(self, mixture: Tensor) -> Tensor:
        """Return the encoder's frames, `[batch, frames, filters]`."""
        before, after = half_overlap_padding(mixture.shape[1], self.config.window)
        frames = F.pad(mixture, (before, after)).unfold(1, self.config.window, before)
        return linear(frames, self.encoder.weight.squeeze(1))  # [B, T, N]

    def _coded(self, features: Tensor) -> Tensor:
        """Return what the inner network between the halves of the codec makes of the frames."""
        stretches = split(features, self.config.context)  # [B, L, G, K, W]
        rows = stretches.flatten(0, 1)  # [B * L, G, K, W]
        squeezed = self.context_enc(rows).mean(2).unflatten(0, stretches.shape[:2])  # [B, L, G, W]
        told = self.seq_model(squeezed.transpose(1, 2))  # [B, G, L, W]
        decoded = self.context_dec(rows + told.transpose(1, 2).flatten(0, 1).unsqueeze(2))
        return join(decoded.view(stretches.shape), features.shape[2])  # [B, G, T, W]

    def _decode(self, features: Tensor, encoded: Tensor) -> Tensor:
        """Return waveforms, `[batch, speakers, time]`, of the masked frames.

        Args:
            features: `[batch, groups, frames, features]`.
            encoded: `[batch, frames, filters]`.
        """
        masks = pointwise(features, self.mask[0]).relu()  # [B, G, T, S * W]
        masks = masks.view(*masks.shape[:3], self.config.num_speakers, -1)  # [B, G, T, S, W]
        masked = masks.permute(0, 3, 2, 1, 4).flatten(3) * encoded.unsqueeze(1)  # [B, S, T, N]
        to_samples = self.decoder.weight.squeeze(1).t().contiguous()  # [window, N]
        frames = linear(masked, to_samples)  # [B, S, T, window]
        # The first half of the first frame and the second of the last are padding only.
        first, second = frames.chunk(2, 3)
        return (first[:, :, 1:] + second[:, :, :-1]).flatten(2)


class ContextRNN(nn.Module):
    """Half of the context codec: TAC and LSTM over the frames of a stretch, twice (figure 3)."""

    def __init__(self, width: int, config: Config) -> None:
        super().__init__()
        hidden = config.hidden // config.num_groups
        self.TAC = nn.ModuleList(recurrent_tac(width, config) for _ in range(2))
        self.rnn = nn.ModuleList(ProjectedLSTM(width, hidden) for _ in range(2))
        self.LN = nn.ModuleList(GlobalNorm((width,), 1e-5) for _ in range(2))

    def forward(self, features: Tensor) -> Tensor:
        """Return `[stretches, groups, frames, features]` for the same."""
        for tac, rnn, norm in zip(self.TAC, self.rnn, self.LN, strict=True):
            features = tac(features)
            features = features + by_group(norm, along(rnn, features, 2))
        return features


def inner_network(width: int, config: Config) -> nn.Module:
    """Return the inner network, `[batch, groups, frames, features]` to the same."""
    if config.inner == "tcn":
        return DilatedNet(width, config)
    if config.inner == "ublock":
        return nn.Sequential(*(GroupUBlock(width, config) for _ in range(config.num_layers)))
    if config.inner == "dprnn":
        return DualPath(DualPathLSTM(width, config), config.segment)
    return DualPath(DualPathTransformer(width, config), config.segment)


class DualPath(nn.Module):
    """Cuts the frames into segments for a dual-path network, and joins what it returns."""

    def __init__(self, seq_model: nn.Module, length: int) -> None:
        super().__init__()
        self.seq_model = seq_model
        self.length = length

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, groups, frames, features]` for the same."""
        segments = split(features, self.length).transpose(1, 2).contiguous()  # [B, G, L, K, W]
        return join(self.seq_model(segments).transpose(1, 2), features.shape[2])


class DualPathLSTM(nn.Module):
    """GC-DPRNN: TAC, LSTM along the segments, LSTM across them."""

    def __init__(self, width: int, config: Config) -> None:
        super().__init__()
        hidden, layers = config.hidden // config.num_groups, range(config.num_layers)
        self.TAC = nn.ModuleList(recurrent_tac(width, config) for _ in layers)
        self.row_rnn = nn.ModuleList(ProjectedLSTM(width, hidden) for _ in layers)
        self.col_rnn = nn.ModuleList(ProjectedLSTM(width, hidden) for _ in layers)
        self.row_norm = nn.ModuleList(GlobalNorm((width,), 1e-8) for _ in layers)
        self.col_norm = nn.ModuleList(GlobalNorm((width,), 1e-8) for _ in layers)
        self.output = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, groups, segments, segment, features]` for the same."""
        rows = zip(self.row_rnn, self.row_norm, strict=True)
        columns = zip(self.col_rnn, self.col_norm, strict=True)
        for tac, (row, row_norm), (column, column_norm) in zip(
            self.TAC, rows, columns, strict=True
        ):
            features = tac(features.flatten(2, 3)).view(features.shape)  # [B, G, L, K, W]
            features = features + by_group(row_norm, along(row, features, 3))
            features = features + by_group(column_norm, along(column, features, 2))
        return pointwise(features, self.output)  # [B, G, L, K, W]


class ProjectedLSTM(nn.Module):
    """A bidirectional LSTM and the linear map back to the width of its input."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(width, hidden, bidirectional=True)
        self.proj = nn.Linear(2 * hidden, width)

    def forward(self, steps: Tensor) -> Tensor:
        """Return `[steps, rows, features]` for the same."""
        hidden, _ = self.rnn(steps)  # [steps, rows, 2 * hidden]
        return linear(hidden, self.proj.weight, self.proj.bias)


class DualPathTransformer(nn.Module):
    """GC-DPTNet: TAC, transformer along the segments, transformer across them."""

    def __init__(self, width: int, config: Config) -> None:
        super().__init__()
        heads, layers = config.num_heads, range(config.num_layers)
        self.row_xfmr = nn.ModuleList(_Transformer(width, heads) for _ in layers)
        self.col_xfmr = nn.ModuleList(_Transformer(width, heads) for _ in layers)
        self.TAC = nn.ModuleList(recurrent_tac(width, config) for _ in layers)
        self.output = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, groups, segments, segment, features]` for the same."""
        for tac, row, column in zip(self.TAC, self.row_xfmr, self.col_xfmr, strict=True):
            features = tac(features.flatten(2, 3)).view(features.shape)  # [B, G, L, K, W]
            features = features + along(row, features, 3)
            features = features + along(column, features, 2)
        return pointwise(features, self.output)


class _Transformer(nn.Module):
    """Only a name in the published keys."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.transformer = AttentionLSTM(width, num_heads)

    def forward(self, steps: Tensor) -> Tensor:
        """Return `[steps, rows, features]` for the same."""
        transformed: Tensor = self.transformer(steps)
        return transformed


class AttentionLSTM(nn.Module):
    """DPTNet's transformer layer: attention, then an LSTM in place of the first linear map."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, num_heads)
        self.linear1 = nn.LSTM(width, 2 * width, bidirectional=True)
        self.linear2 = nn.Linear(4 * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, steps: Tensor) -> Tensor:
        """Return `[steps, rows, features]` for the same."""
        attended, _ = self.self_attn(steps, steps, steps, need_weights=False)
        attended = self.norm1(steps + attended)
        wide = F.relu(self.linear1(attended)[0])  # [steps, rows, 4 * features]
        normed: Tensor = self.norm2(attended + self.linear2(wide))
        return normed


class DilatedNet(nn.Module):
    """GC-TCN: a TAC before each dilated block; the skip outputs are summed."""

    def __init__(self, width: int, config: Config) -> None:
        super().__init__()
        hidden = 4 * config.num_filters // config.num_groups
        dilations = [2**i for i in range(config.num_layers)] * config.num_stacks
        self.TCN = nn.ModuleList(DilatedBlock(width, hidden, dilation) for dilation in dilations)
        self.TAC = nn.ModuleList(
            TAC(width, 3 * hidden, GlobalNorm((width,), 1e-5)) for _ in dilations
        )
        self.output = nn.Conv1d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, groups, frames, features]` for the same."""
        total = torch.zeros_like(features)
        for tac, block in zip(self.TAC, self.TCN, strict=True):
            features, skip = block(tac(features))  # each [B, G, T, W]
            total = total + skip
        return pointwise(total, self.output)


class DilatedBlock(nn.Module):
    """Conv-TasNet's dilated depthwise block, shared by the groups."""

    def __init__(self, width: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(width, hidden, 1)
        self.dconv1d = nn.Conv1d(hidden, hidden, 3, 1, dilation, dilation, groups=hidden)
        self.res_out = nn.Conv1d(hidden, width, 1)
        self.nonlinearity1 = nn.PReLU()
        self.nonlinearity2 = nn.PReLU()
        self.reg1 = GlobalNorm((hidden,), 1e-8)
        self.reg2 = GlobalNorm((hidden,), 1e-8)
        self.skip_out = nn.Conv1d(hidden, width, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features for the next block, and the skip output; shapes as given."""
        conv = self.dconv1d
        wide = self.nonlinearity1(pointwise(features.flatten(0, 1), self.conv1d))  # [B * G, T, H]
        filtered = depthwise(self.reg1(wide), conv.weight, conv.bias, dilation=conv.dilation[0])
        told = self.reg2(self.nonlinearity2(filtered))  # [B * G, T, H]
        told = told.unflatten(0, features.shape[:2])  # [B, G, T, H]
        return features + pointwise(told, self.res_out), pointwise(told, self.skip_out)


class GroupUBlock(nn.Module):
    """GC-Sudo rm -rf: TAC, then a U block on every group."""

    def __init__(self, width: int, config: Config) -> None:
        super().__init__()
        hidden = 3 * config.num_filters // config.num_groups
        self.TAC = TAC(width, hidden, GlobalNorm((width,), 1e-5))
        self.UBlock = SumBlock(width, 2 * config.hidden // config.num_groups, config.depth)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, groups, frames, features]` for the same."""
        rows: Tensor = self.UBlock(self.TAC(features).flatten(0, 1))  # [B * G, T, W]
        return rows.view(features.shape)


def recurrent_tac(width: int, config: Config) -> TAC:
    """Return the TAC that goes before recurrent layers."""
    return TAC(width, 3 * config.hidden // config.num_groups, GlobalNorm((width,), 1e-5))


def split(features: Tensor, length: int) -> Tensor:
    """Return half-overlapping stretches, `[batch, stretches, groups, length, features]`.

    Args:
        features: `[batch, groups, frames, features]`.
        length: Length of a stretch [frames].
    """
    before, after = half_overlap_padding(features.shape[2], length)
    cut = segment(features.flatten(0, 1), length, length // 2, before, after)
    return cut.reshape(*features.shape[:2], *cut.shape[1:]).transpose(1, 2)


def join(stretches: Tensor, num_frames: int) -> Tensor:
    """Return the sum of overlapping stretches, `[batch, groups, frames, features]`.

    Args:
        stretches: `[batch, stretches, groups, length, features]`.
        num_frames: Frames to return.
    """
    rows = stretches.transpose(1, 2)
    hop = stretches.shape[3] // 2
    joined = merge(rows.flatten(0, 1), hop, hop, num_frames)
    return joined.reshape(*rows.shape[:2], num_frames, -1)


def along(network: Callable[[Tensor], Tensor], features: Tensor, axis: int) -> Tensor:
    """Return what a network for `[steps, rows, features]` makes of one axis; layout as given."""
    moved = features.movedim(axis, 0)
    return network(moved.flatten(1, -2)).view(moved.shape).movedim(0, axis)
