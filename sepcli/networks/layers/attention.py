"""Attention with the parameter names of published time-frequency networks."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Rotary(nn.Module):
    """Rotary positions (RoFormer, Su et al., 2021, https://arxiv.org/abs/2104.09864, eq. 34).

    Neighbouring channels (2i, 2i + 1) are turned by position / 10000^(2i/width). The rates are a
    formula, but published checkpoints hold them under the key `freqs`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        pairs = torch.arange(0, width, 2, dtype=torch.float32)
        self.freqs = nn.Parameter(1.0 / 10000 ** (pairs / width), requires_grad=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return vectors `[..., time, width]`, each turned by its position in time."""
        time = torch.arange(vectors.shape[-2], dtype=self.freqs.dtype, device=vectors.device)
        angles = time.unsqueeze(-1) * self.freqs  # [time, width / 2]
        cos, sin = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
        even, odd = vectors.view(*vectors.shape[:-1], -1, 2).unbind(-1)
        turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1)
        return turned.flatten(-2)


class RotaryAttention(nn.Module):
    """Multi-head self-attention; keys `qkv.weight`, `aggregate_heads.0.weight`, `rope.freqs`.

    Args:
        dim: Channels that come in and go out.
        heads: Attention heads.
        rope: Positions for queries and keys of a head, `inner / heads` wide; may be shared. An
            `nn.Identity` for none.
        inner: Channels of all heads together; `dim` where it is not given.
        causal: Whether nothing is attended to that comes later.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        rope: nn.Module,
        inner: int | None = None,
        *,
        causal: bool = False,
    ) -> None:
        super().__init__()
        inner = inner or dim
        self.heads = heads
        self.causal = causal
        self.rope = rope
        self.qkv = nn.Linear(dim, 3 * inner, bias=False)
        self.aggregate_heads = nn.Sequential(nn.Linear(inner, dim, bias=False))

    def forward(self, features: Tensor) -> Tensor:
        """Return `[rows, time, dim]`, attended to over time."""
        heads = self.qkv(features).unflatten(-1, (3, self.heads, -1))  # [rows, time, 3, heads, w]
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each [rows, heads, time, w]
        query, key = self.rope(query), self.rope(key)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        attended: Tensor = self.aggregate_heads(mixed.transpose(1, 2).flatten(2))
        return attended


class CrossAttention(nn.Module):
    """Multi-head attention of some tokens to others; keys `q`, `kv`, `aggregate_heads.0`.

    Args:
        dim: Channels that come in and go out.
        heads: Attention heads.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim, bias=False)
        self.kv = nn.Linear(dim, 2 * dim, bias=False)
        self.aggregate_heads = nn.Sequential(nn.Linear(dim, dim, bias=False))

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Return `[rows, queries, dim]`, attended to `memory` `[rows, tokens, dim]`."""
        query = self.q(queries).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        pairs = self.kv(memory).unflatten(-1, (2, self.heads, -1))  # [rows, tokens, 2, heads, w]
        key, value = pairs.permute(2, 0, 3, 1, 4)  # each [rows, heads, tokens, w]
        mixed = F.scaled_dot_product_attention(query, key, value)
        attended: Tensor = self.aggregate_heads(mixed.transpose(1, 2).flatten(2))
        return attended
