"""DPRNN-TasNet: recurrence within segments and across them, in turn.

Luo, Chen, Yoshioka, "Dual-path RNN: efficient long sequence modeling for time-domain single-channel
speech separation", ICASSP 2020, https://arxiv.org/abs/1910.06379, figure 1 and section 2, with the
details and the state-dict keys of the checkpoints that asteroid published.

Layout: `[segments, batch, frames, features]` throughout. One frame of all segments is then a
stretch of sequences that the recurrence across segments takes as it is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn

from sepcli.networks.layers import (
    FilterbankConfig,
    FilterbankNetwork,
    check_sizes,
    gate_features,
    global_norm,
    linear,
    linear_of_parts,
    merge_split,
    pointwise,
    recur,
    run,
    segment,
)

EPS = 1e-8


@dataclass(frozen=True, kw_only=True)
class Config(FilterbankConfig):
    """Sizes of DPRNN-TasNet, beside those of `FilterbankConfig`.

    Attributes:
        bottleneck: Features within the blocks.
        hidden: Width of a recurrent layer, of each direction <H>.
        segment: Length of a segment <K> [frames].
        hop: Distance of segments <P> [frames].
        num_blocks: Blocks of one intra- and one inter-segment layer <B>.
        num_layers: Recurrent layers on top of each other in each of them.
        rnn: Kind of recurrent layer.
        bidirectional: Whether the recurrence across segments also runs backward; the one within
            segments always does.
        multiply: Two recurrent layers side by side whose product is joined with the input
            ("MulCat", https://arxiv.org/abs/2003.01531, equation 3).
        norm: "gLN" over all of a row, "cLN" over the features of each frame.
    """

    bottleneck: int = 128
    hidden: int = 128
    segment: int = 100
    hop: int = 50
    num_blocks: int = 6
    num_layers: int = 1
    rnn: Literal["LSTM", "GRU"] = "LSTM"
    bidirectional: bool = True
    multiply: bool = False
    norm: Literal["gLN", "cLN"] = "gLN"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self)
        if not 1 <= self.hop <= self.segment:
            raise ValueError(f"hop must be 1 to segment: {self.hop}")


class Network(FilterbankNetwork):
    """DPRNN-TasNet: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        super().__init__(config, Masker(config))


class Masker(nn.Module):
    """Features `[batch, frames, filters]` → masks `[batch, frames, speakers, filters]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.bottleneck
        self.bottleneck = nn.ModuleList(
            [Norm(config.num_filters, config.norm), nn.Conv1d(config.num_filters, width, 1)]
        )
        self.net = nn.Sequential(*(Block(config) for _ in range(config.num_blocks)))
        self.first_out = nn.ModuleList(
            [nn.PReLU(), nn.Conv2d(width, config.num_speakers * width, 1)]
        )
        self.net_out = nn.Sequential(nn.Conv1d(width, width, 1))
        self.net_gate = nn.Sequential(nn.Conv1d(width, width, 1))
        self.mask_net = nn.Conv1d(width, config.num_filters, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Masks for features; see the class."""
        return self.masks(self.hidden(features))

    def hidden(self, features: Tensor) -> Tensor:
        """Return what masks are made of, `[batch, frames, speakers, features]`."""
        # B: batch, L: frames, N: filters, D: features, S: segments, K: frames in one, C: speakers
        length, hop = self.config.segment, self.config.hop
        segments = self.net(self.segments(features))  # [S, B, K, D]
        activated = self.first_out[0](segments.transpose(0, 1))  # [B, S, K, D]
        merged = merge_split(activated, self.first_out[1], hop, length, features.shape[1])
        return merged.view(*merged.shape[:2], self.config.num_speakers, -1)  # [B, L, C, D]

    def segments(self, features: Tensor) -> Tensor:
        """Return narrow segments of features, `[segments, batch, frames, features]`."""
        length, hop = self.config.segment, self.config.hop
        narrow = pointwise(self.bottleneck[0](features.unsqueeze(0))[0], self.bottleneck[1])
        return segment(narrow, length, hop, length, length).transpose(0, 1).contiguous()

    def masks(self, hidden: Tensor) -> Tensor:
        """Return masks `[batch, frames, speakers, filters]` for what `hidden` returns."""
        gated = gate_features(hidden, self.net_out[0], self.net_gate[0])
        masks = linear(gated, self.mask_net.weight.squeeze(-1))  # [B, L, C, N]
        return self.config.bound(masks)


class Block(nn.Module):
    """Recurrence within segments, then across them, each with a norm and a skip connection."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.bottleneck
        self.intra_RNN = Recurrence(config, bidirectional=True)
        self.inter_RNN = Recurrence(config, bidirectional=config.bidirectional)
        self.intra_linear = nn.Linear(self.intra_RNN.width, width)
        self.intra_norm = Norm(width, config.norm)
        self.inter_linear = nn.Linear(self.inter_RNN.width, width)
        self.inter_norm = Norm(width, config.norm)

    def forward(self, segments: Tensor) -> Tensor:
        """Return `[segments, batch, frames, features]` for the same."""
        within = self.intra_RNN(segments.flatten(0, 1), self.intra_linear, time_first=False)
        segments = self.intra_norm(within.view(segments.shape), segments)
        across = self.inter_RNN(segments.flatten(1, 2), self.inter_linear, time_first=True)
        normalised: Tensor = self.inter_norm(across.view(segments.shape), segments)
        return normalised


class Recurrence(nn.Module):
    """One recurrent layer under the key `rnn`, or two that multiply, `rnn1` and `rnn2`."""

    def __init__(self, config: Config, *, bidirectional: bool) -> None:
        super().__init__()
        self.width = config.hidden * (1 + bidirectional)
        names = ["rnn1", "rnn2"] if config.multiply else ["rnn"]
        for name in names:
            kind = nn.LSTM if config.rnn == "LSTM" else nn.GRU
            rnn = kind(
                config.bottleneck, config.hidden, config.num_layers, bidirectional=bidirectional
            )
            self.add_module(name, rnn)
        if config.multiply:
            self.width += config.bottleneck

    def forward(self, sequences: Tensor, project: nn.Linear, *, time_first: bool) -> Tensor:
        """Return what `project` makes of the hidden features; for the layout see `recur`."""
        rnns = [rnn for rnn in self.children() if isinstance(rnn, nn.LSTM | nn.GRU)]

        def finish(hidden: Iterator[Tensor], part: Tensor) -> Tensor:
            parts: Iterable[Tensor] = hidden
            if len(rnns) > 1:
                products = (a * b for a, b in zip(hidden, run(rnns[1], part), strict=True))
                parts = chain(products, [part])
            return linear_of_parts(parts, project.weight, project.bias)

        return recur(rnns[0], sequences, finish, time_first=time_first)


class Norm(nn.Module):
    """Norm of `[segments, batch, frames, features]`, over all of a row or over features."""

    def __init__(self, width: int, kind: str) -> None:
        super().__init__()
        self.over_row = kind == "gLN"
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(self, features: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return normalised features, plus `residual` if given."""
        if not self.over_row:
            width = features.shape[-1:]
            normed = nn.functional.layer_norm(features, width, self.gamma, self.beta, EPS)
            return normed if residual is None else residual + normed
        rows = features.transpose(0, 1)
        other = None if residual is None else residual.transpose(0, 1)
        normed = global_norm(rows, self.gamma, self.beta, EPS, residual=other)
        return normed.transpose(0, 1)
