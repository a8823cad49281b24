"""GALR: recurrence within segments, attention across them.

Lam, Wang, Su, Yu, "Effective low-cost time-domain audio separation using globally attentive locally
recurrent networks", SLT 2021, https://arxiv.org/abs/2101.05014. A feature sequence is cut into
segments as in DPRNN. A block runs a bidirectional LSTM within each segment; then it maps the K
frames of a segment to Q < K, lets each of the Q positions attend to itself across segments, and
maps back. The paper's two sizes are `Config(filters=64)`, 1.5 million parameters, and
`Config(filters=128)`, 2.3 million, "comparable with DPRNN".

No code or weights of the separation network are public. What the paper leaves open, and our choice:

- Window, segment and Q differ from row to row of the paper's table; the defaults (16 samples, 100
  frames, 32 positions) are a row with which the smaller size has the 1.5 million it states.
- Encoder: a strided convolution without bias, then ReLU; the mixture is padded so that every sample
  is in as many frames as every other. Norm and a 1×1 convolution without bias follow.
- Segments overlap by half; a whole segment of zeros stands before and after, as in DPRNN.
- The LSTM starts from a learned state, one for both directions and all segments.
- The norm after either half of a block is over all of a row, with epsilon 1e-5, and its output is
  added to what went into that half.
- Attention: layer norm, plus sinusoidal positions of the segments, then 8 heads; their output is
  added to what went into the heads, and a layer norm follows. A later publication of the authors
  adds the heads' output to itself instead, which that last norm undoes.
- Positions are computed for as many segments as there are; nothing limits the length.
- Output: PReLU, a 1×1 convolution to all speakers, overlap-add, tanh and sigmoid branches that
  multiply, a 1×1 convolution without bias, and ReLU masks on the encoder's features.
- Dropout of the attention's weights and output, in training only.

Layout: `[frames, segments, batch, features]` throughout: neither half of a block transposes it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers import (
    GlobalNorm,
    attend,
    check_sizes,
    decode,
    encode,
    gated_masks,
    linear,
    linear_of_parts,
    merge_split,
    recur,
    segment,
    sinusoids,
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of GALR.

    Attributes:
        num_speakers: Estimates <C>.
        filters: Features of a frame, in the encoder and the blocks <D>.
        kernel_size: Encoder window, twice the stride <M> [samples].
        segment: Length of a segment, twice the hop <K> [frames].
        positions: What the frames of a segment are mapped to for attention <Q>.
        hidden: Width of the LSTM, of each direction <H>.
        num_heads: Attention heads; divides `filters` <J>.
        num_blocks: Blocks <N>.
        dropout: Share of the attention dropped in training.
    """

    num_speakers: int = 2
    filters: int = 64
    kernel_size: int = 16
    segment: int = 100
    positions: int = 32
    hidden: int = 128
    num_heads: int = 8
    num_blocks: int = 6
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.kernel_size % 2:
            raise ValueError(f"kernel_size must be even: {self.kernel_size}")
        if self.segment % 2:
            raise ValueError(f"segment must be even: {self.segment}")
        if self.filters % self.num_heads:
            raise ValueError(f"num_heads must divide filters: {self.num_heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be 0 to 1: {self.dropout}")


class Network(nn.Module):
    """GALR: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width, stride = config.filters, config.kernel_size // 2
        self.encoder = nn.Conv1d(1, width, config.kernel_size, stride, bias=False)
        self.norm = GlobalNorm((width,), eps=1e-8)
        self.bottleneck = nn.Linear(width, width, bias=False)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.num_blocks)))
        self.activation = nn.PReLU()
        self.split = nn.Conv2d(width, config.num_speakers * width, 1)
        self.output = nn.Conv1d(width, width, 1)
        self.gate = nn.Conv1d(width, width, 1)
        self.mask = nn.Conv1d(width, width, 1, bias=False)
        self.decoder = nn.ConvTranspose1d(width, 1, config.kernel_size, stride, bias=False)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]` of any length ≥ 1."""
        # B: batch, T: time, L: frames, D: filters, C: speakers
        time, stride = mixture.shape[-1], self.config.kernel_size // 2
        padded = F.pad(mixture, (stride, stride + -time % stride))  # [B, padded T]
        features = encode(padded, self.encoder.weight, stride)  # [B, L, D]
        masked = self._masks(features) * features.unsqueeze(2)  # [B, L, C, D]
        decoded = decode(masked, self.decoder.weight, stride, padded.shape[-1])  # [B, C, padded T]
        return decoded[..., stride : stride + time]

    def _masks(self, features: Tensor) -> Tensor:
        """Masks `[batch, frames, speakers, filters]` for features `[batch, frames, filters]`."""
        # B: batch, L: frames, D: filters, S: segments, K: frames in one, C: speakers
        length, frames = self.config.segment, features.shape[1]
        narrow = linear(self.norm(features), self.bottleneck.weight)  # [B, L, D]
        segments = segment(narrow, length, length // 2, length, length)  # [B, S, K, D]
        segments = self.blocks(segments.permute(2, 1, 0, 3).contiguous())  # [K, S, B, D]
        activated = self.activation(segments.permute(2, 1, 0, 3))  # [B, S, K, D]
        split = merge_split(activated, self.split, length // 2, length, frames)  # [B, L, C * D]
        split = split.view(*features.shape[:2], self.config.num_speakers, -1)  # [B, L, C, D]
        return gated_masks(split, self.output, self.gate, self.mask.weight)  # [B, L, C, D]


class Block(nn.Module):
    """Recurrence within segments, then attention across them (figure 1).

    x' = x + Norm(W LSTM(x)) along the K frames of each segment, then
    y = x' + Norm(expand(attend(shrink(x')))), where `shrink` maps K frames to Q, and `expand` back.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, hidden = config.filters, config.hidden
        self.rnn = nn.LSTM(width, hidden, bidirectional=True)
        self.first_hidden = nn.Parameter(torch.zeros(1, 1, hidden))
        self.first_cell = nn.Parameter(torch.zeros(1, 1, hidden))
        self.project = nn.Linear(2 * hidden, width)
        self.local_norm = RowNorm((width,), eps=1e-5)
        self.shrink = nn.Linear(config.segment, config.positions)
        self.attend = SegmentAttention(width, config.num_heads, config.dropout)
        self.expand = nn.Linear(config.positions, config.segment)
        self.global_norm = RowNorm((width,), eps=1e-5)

    def forward(self, segments: Tensor) -> Tensor:
        """Return `[frames, segments, batch, features]` for the same."""
        # K: frames, S: segments, B: batch, Q: positions, D: features
        project = self.project
        state = (self.first_hidden.expand(2, -1, -1), self.first_cell.expand(2, -1, -1))
        local = recur(
            self.rnn,
            segments.flatten(1, 2),
            lambda hidden, _: linear_of_parts(hidden, project.weight, project.bias),
            time_first=True,
            state=state,
        )  # [K, S * B, D]
        segments = self.local_norm(local.view(segments.shape), segments)  # [K, S, B, D]
        few = self.attend(along_frames(segments, self.shrink))  # [Q, S, B, D]
        across = along_frames(few, self.expand)  # [K, S, B, D]
        normalised: Tensor = self.global_norm(across, segments)  # [K, S, B, D]
        return normalised


class SegmentAttention(nn.Module):
    """Attention of every position to itself across segments, `[Q, segments, batch, features]`."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.first_norm = nn.LayerNorm(width)
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.last_norm = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        # Q: positions, S: segments, B: batch, D: features, J: heads, E: features of one
        positions, num_segments, batch, width = features.shape
        table = sinusoids(0, num_segments, width, like=features).unsqueeze(1)  # [S, 1, D]
        sequences = self.first_norm(features) + table  # [Q, S, B, D]
        projected = linear(sequences, self.project_in.weight, self.project_in.bias)  # [.., 3 * D]
        heads = projected.view(positions, num_segments, batch, 3, self.num_heads, -1)
        query, key, value = heads.permute(3, 0, 2, 4, 1, 5).flatten(1, 2)  # each [Q * B, J, S, E]
        dropout = self.dropout if self.training else 0.0
        attended = attend(query, key, value, dropout)  # [Q * B, J, S, E]
        split = attended.view(positions, batch, *attended.shape[1:])  # [Q, B, J, S, E]
        attended = split.permute(0, 3, 1, 2, 4).reshape(features.shape)  # [Q, S, B, D]
        output = linear(attended, self.project_out.weight, self.project_out.bias)
        normed: Tensor = self.last_norm(sequences + F.dropout(output, dropout))
        return normed


def along_frames(segments: Tensor, layer: nn.Linear) -> Tensor:
    """Return a linear map over the frames of each segment, `[outputs, segments, batch, features]`.

    Args:
        segments: `[inputs, segments, batch, features]`.
        layer: From `inputs` frames or positions to `outputs`.
    """
    mapped = torch.addmm(layer.bias.unsqueeze(-1), layer.weight, segments.flatten(1))
    return mapped.view(-1, *segments.shape[1:])  # [K or Q, S, B, D]


class RowNorm(GlobalNorm):
    """Norm over all of a row, of `[frames, segments, batch, features]`."""

    def forward(self, features: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return normalised features of the same shape, plus `residual` if given."""
        other = None if residual is None else residual.movedim(2, 0)
        return super().forward(features.movedim(2, 0), other).movedim(0, 2)
