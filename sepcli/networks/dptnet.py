"""DPTNet: within and across segments, attention followed by recurrence in place of positions.

Chen, Mao, Liu, "Dual-path transformer network: direct context-aware modeling for end-to-end
monaural speech separation", Interspeech 2020, https://arxiv.org/abs/2007.13975, section 2.2 and
figure 1, with the details and the state-dict keys of asteroid, whose default has 8.5 million
parameters where the paper's has 2.7.

A layer treats sequences apart from each other, its norms too; so a few at a time go through the
whole of it and do not leave the cache in between.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers import (
    FilterbankConfig,
    FilterbankNetwork,
    SelfAttention,
    check_sizes,
    gate_features,
    global_norm,
    group_size,
    linear_of_parts,
    merge_split,
    run,
    segment,
)

EPS = 1e-8


@dataclass(frozen=True, kw_only=True)
class Config(FilterbankConfig):
    """Sizes of DPTNet, beside those of `FilterbankConfig`.

    Attributes:
        num_heads: Attention heads; divides `num_filters` <h>.
        hidden: Width of the recurrent layer, of each direction.
        segment: Length of a segment <K> [frames].
        hop: Distance of segments <H> [frames].
        num_blocks: Blocks of one intra- and one inter-segment layer <B>.
        bidirectional: Whether the recurrence across segments also runs backward; the one within
            segments always does.
    """

    num_heads: int = 4
    hidden: int = 256
    segment: int = 100
    hop: int = 50
    num_blocks: int = 6
    bidirectional: bool = True
    encoder_activation: Literal["none", "relu", "sigmoid"] = "relu"
    mask_activation: Literal["sigmoid", "relu", "softmax"] = "relu"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self)
        if not 1 <= self.hop <= self.segment:
            raise ValueError(f"hop must be 1 to segment: {self.hop}")
        if self.num_filters % self.num_heads:
            raise ValueError(f"num_heads must divide num_filters: {self.num_heads}")


class Network(FilterbankNetwork):
    """DPTNet: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        super().__init__(config, Masker(config))


class Masker(nn.Module):
    """Features `[batch, frames, filters]` → masks `[batch, frames, speakers, filters]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.num_filters
        self.in_norm = Norm(width)
        self.layers = nn.ModuleList(
            nn.ModuleList([Layer(config, True), Layer(config, config.bidirectional)])
            for _ in range(config.num_blocks)
        )
        self.first_out = nn.ModuleList(
            [nn.PReLU(), nn.Conv2d(width, config.num_speakers * width, 1)]
        )
        self.net_out = nn.Sequential(nn.Conv1d(width, width, 1))
        self.net_gate = nn.Sequential(nn.Conv1d(width, width, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Masks for features; see the class."""
        # B: batch, L: frames, N: features, S: segments, K: frames in one, C: speakers
        length, hop = self.config.segment, self.config.hop
        batch, frames, _ = features.shape
        normed = global_norm(features, self.in_norm.gamma, self.in_norm.beta, EPS)
        segments = segment(normed, length, hop, length, length)  # [B, S, K, N]
        for block in self.layers:
            assert isinstance(block, nn.ModuleList)
            for layer in block:
                # Of one row, neither of the two copies anything: the layer reads strided views.
                rows = layer(segments.flatten(0, 1))
                segments = rows.view(batch, -1, *rows.shape[1:]).transpose(1, 2)
        activated = self.first_out[0](segments)  # [B, S, K, N]
        split = merge_split(activated, self.first_out[1], hop, length, frames) * (hop / length)
        split = split.view(batch, frames, self.config.num_speakers, -1)  # [B, L, C, N]
        masks = gate_features(split, self.net_out[0], self.net_gate[0])
        return self.config.bound(masks)


class Layer(nn.Module):
    """Attention, then recurrence, each with a skip connection and a norm over its sequence."""

    def __init__(self, config: Config, bidirectional: bool) -> None:
        super().__init__()
        width = config.num_filters
        self.mha = SelfAttention(width, config.num_heads)
        self.recurrent = nn.LSTM(width, config.hidden, bidirectional=bidirectional)
        self.linear = nn.Linear(config.hidden * (1 + bidirectional), width)
        self.norm_mha = Norm(width)
        self.norm_ff = Norm(width)

    def forward(self, sequences: Tensor) -> Tensor:
        """Return `[sequences, time, features]` for the same, of any strides."""
        count, time, _ = sequences.shape
        size = group_size(self.recurrent, time, count)
        parts = [self._few(part.contiguous()) for part in torch.split(sequences, size)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _few(self, sequences: Tensor) -> Tensor:
        features = self.norm_mha(self.mha(sequences, residual=sequences))
        steps = features.transpose(0, 1).contiguous()
        own = not torch.is_grad_enabled()  # autograd needs what the recurrence put out
        hidden = (F.relu(part, inplace=own) for part in run(self.recurrent, steps))
        output = linear_of_parts(hidden, self.linear.weight, self.linear.bias, residual=steps)
        normed: Tensor = self.norm_ff(output.transpose(0, 1).contiguous())
        return normed


class Norm(nn.Module):
    """Norm of sequences `[sequences, time, features]`, each over all of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(self, sequences: Tensor) -> Tensor:
        """Return normalised sequences."""
        shape = sequences.shape[1:]
        return F.layer_norm(
            sequences, shape, self.gamma.expand(shape), self.beta.expand(shape), EPS
        )
