"""Transformer layers and positions, with the parameter names of the published checkpoints."""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers.linear import linear

EPS = 1e-6  # added to variances
NARROW = 16  # features of a head, at most, for `attend` to multiply itself
SHORT, SHORT_ALONE = 256, 48  # frames, at most: on several cores, and on one
SCORE_BYTES = 2**20  # what it holds of scores at a time
BLOCK_FRAMES = 4096  # what one pass through a stack takes at a time; its temporaries stay in cache


def sinusoids(start: int, stop: int, dim: int, like: Tensor | None = None) -> Tensor:
    """Return rows `start` to `stop` of the sinusoidal position table, `[stop - start, dim]`.

    Even channel 2i holds sin(t / 10000^(2i/dim)), the odd one after it the cosine of the same
    angle ("Attention is all you need", https://arxiv.org/abs/1706.03762, section 3.5). The angles
    are computed in single precision, as the published tables were.
    """
    device = None if like is None else like.device
    rate = torch.arange(0, dim, 2, dtype=torch.float32, device=device) * -(math.log(10000.0) / dim)
    time = torch.arange(start, stop, dtype=torch.float32, device=device)
    angles = time.unsqueeze(1) * rate.exp()
    table = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :dim]
    return table if like is None else table.to(like.dtype)


class Positions(nn.Module):
    """Sinusoidal positions, stored as published checkpoints store them, of any length.

    Args:
        rows: Rows of the stored table; rows beyond it are computed when they are asked for.
        dim: Channels.
    """

    pe: Tensor

    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("pe", sinusoids(0, rows, dim).unsqueeze(0))

    def forward(self, length: int) -> Tensor:
        """Return the first `length` rows, `[length, dim]`."""
        rows, dim = self.pe.shape[1:]
        if length <= rows:
            return self.pe[0, :length]
        return torch.cat([self.pe[0], sinusoids(rows, length, dim, like=self.pe)])


def attend(query: Tensor, key: Tensor, value: Tensor, dropout: float = 0.0) -> Tensor:
    """Return scaled dot-product attention, `[rows, heads, time, width]` of three of that shape.

    Torch's fused kernel takes a few frames of one head at a time; where heads are narrow, a second
    core does not make it faster, nor is it fast where sequences are very short. Products of a head
    in many rows are, and their scores stay in the cache. Without autograd and dropout only.
    """
    rows, heads, time, width = query.shape
    plain = query.device.type == "cpu" and query.dtype == torch.float32
    trains = torch.is_grad_enabled() or dropout > 0
    longest = SHORT if torch.get_num_threads() > 1 else SHORT_ALONE
    if trains or not plain or time > longest or width > NARROW:
        if width < NARROW:  # copied in order, these take half the time
            query, key, value = (part.contiguous() for part in (query, key, value))
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    if width < NARROW:  # and here with features first
        query, key, value = (part.mT.contiguous().mT for part in (query, key, value))
    result = query.new_empty(rows, time, heads, width).transpose(1, 2)  # heads join without a copy
    none, step = query.new_zeros(1, 1, 1), max(1, SCORE_BYTES // (4 * time * time))
    for start, head in itertools.product(range(0, rows, step), range(heads)):
        some = slice(start, start + step), head
        turned = key[some].transpose(1, 2)
        scores = torch.baddbmm(none, query[some], turned, beta=0, alpha=width**-0.5)
        result[some] = torch.bmm(scores.softmax(-1), value[some])
    return result


class SelfAttention(nn.Module):
    """Multi-head self-attention with the parameters of `nn.MultiheadAttention`.

    Args:
        dim: Channels.
        heads: Attention heads; divides `dim`.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, features: Tensor, residual: Tensor | None = None) -> Tensor:
        """Attend `[batch, time, dim]` to itself; `residual` of the same shape is added."""
        batch, time, dim = features.shape
        projected = linear(features, self.in_proj_weight, self.in_proj_bias)
        heads = projected.view(batch, time, 3, self.heads, dim // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        attended = attend(query, key, value)
        attended = attended.transpose(1, 2).reshape(batch, time, dim)
        return linear(attended, self.out_proj.weight, self.out_proj.bias, residual=residual)


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward layer with ReLU, each with a skip and a layer norm.

    Keys are `self_att.att.*`, `pos_ffn.ffn.{0,3}.*`, `norm1.norm.*` and `norm2.norm.*`.

    Args:
        dim: Channels.
        heads: Attention heads.
        hidden: Hidden channels of the feed-forward layer.
        norm_first: Normalise what goes into a branch, else the sum after it.
    """

    def __init__(self, dim: int, heads: int, hidden: int, *, norm_first: bool = True) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.self_att = _Attention(dim, heads)
        self.pos_ffn = _FeedForward(dim, hidden)
        self.norm1 = LayerNorm(dim)
        self.norm2 = LayerNorm(dim)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, time, dim]` for `[batch, time, dim]`."""
        if self.norm_first:
            features = self.self_att.att(self.norm1(features), residual=features)
            features = self.pos_ffn(self.norm2(features), residual=features)
            return features
        features = self.norm1(self.self_att.att(features, residual=features))
        features = self.norm2(self.pos_ffn(features, residual=features))
        return features


class LayerNorm(nn.Module):
    """Layer norm over the last dimension; its parameters are `norm.weight` and `norm.bias`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, EPS)

    def forward(self, features: Tensor) -> Tensor:
        """Return normalised features, `[..., dim]`."""
        norm = self.norm
        return F.layer_norm(features, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


class _Attention(nn.Module):
    """Only a name in the published keys."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.att = SelfAttention(dim, heads)


class _FeedForward(nn.Module):
    """Two linear layers with ReLU between them; keys `ffn.0` and `ffn.3`."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.ffn = nn.ModuleDict({"0": nn.Linear(dim, hidden), "3": nn.Linear(hidden, dim)})

    def forward(self, features: Tensor, residual: Tensor) -> Tensor:
        wide, wide_bias, narrow, narrow_bias = self.ffn.parameters()
        inner = linear(features, wide, wide_bias, activation="relu")
        return linear(inner, narrow, narrow_bias, residual=residual)


class _Stack(nn.Module):
    """Layers and a last norm; keys `layers.N` and `norm`."""

    def __init__(self, layers: list[TransformerLayer], norm: LayerNorm) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = norm

    def forward(self, features: Tensor) -> Tensor:
        for layer in self.layers:
            features = layer(features)
        features = self.norm(features)
        return features


class Transformer(nn.Module):
    """A stack of transformer layers with a last layer norm, over sequences `[batch, time, dim]`.

    Keys are `mdl.layers.N.*`, `mdl.norm.norm.*` and, with positions, `pos_enc.pe`.

    Args:
        num_layers: Layers in the stack.
        dim: Channels.
        heads: Attention heads.
        hidden: Hidden channels of the feed-forward layers.
        norm_first: See `TransformerLayer`.
        position_rows: Rows of the stored position table that is added at the start; 0 for none.
    """

    def __init__(
        self,
        num_layers: int,
        dim: int,
        heads: int,
        hidden: int,
        *,
        norm_first: bool = True,
        position_rows: int = 0,
    ) -> None:
        super().__init__()
        layers = [
            TransformerLayer(dim, heads, hidden, norm_first=norm_first) for _ in range(num_layers)
        ]
        self.mdl = _Stack(layers, LayerNorm(dim))
        self.pos_enc = Positions(position_rows, dim) if position_rows else None

    def forward(self, sequences: Tensor) -> Tensor:
        """Return `[batch, time, dim]`; sequences may be a strided view.

        Sequences do not depend on each other. On a processor a few at a time go through the whole
        stack, so that what is between the layers never leaves the cache.
        """
        batch, time, _ = sequences.shape
        if torch.is_grad_enabled() or sequences.device.type != "cpu":
            return self._stack(sequences)
        result = torch.empty_like(sequences)
        step = math.ceil(batch / max(1, round(batch * time / BLOCK_FRAMES)))
        for start in range(0, batch, step):
            result[start : start + step] = self._stack(sequences[start : start + step])
        return result

    def _stack(self, sequences: Tensor) -> Tensor:
        features = sequences.contiguous()
        if self.pos_enc is not None:
            features = features + self.pos_enc(sequences.shape[1])
        normed: Tensor = self.mdl(features)
        return normed
