"""GC3: TAC and U blocks in place, the context codec in tiles, LSTMs that join nothing."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks import gc3
from sepcli.networks.fast import groupcomm
from sepcli.networks.fast.tiles import in_tiles
from sepcli.networks.layers import linear, linear_of_parts, run

TILE_ROWS = 2048
"""Group sequences that go through the context codec at once: their widest map takes 12 MB."""

SHORT_ATTENTION = 32
"""Steps up to which attention is written out: the fused kernel takes three times as long there."""

SHORT_ATTENTION_ROWS = 64
"""Rows of it at once, so that the products stay in the cache."""


class ContextRNN(nn.Module):
    """`gc3.ContextRNN`: stretches do not depend on each other."""

    def __init__(self, codec: gc3.ContextRNN) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, features: Tensor) -> Tensor:
        """Return `[stretches, groups, frames, features]` for the same."""
        return in_tiles(self.codec, features, TILE_ROWS // features.shape[1])


class ProjectedLSTM(nn.Module):
    """`gc3.ProjectedLSTM`."""

    def __init__(self, layer: gc3.ProjectedLSTM) -> None:
        super().__init__()
        self.rnn, self.proj = layer.rnn, layer.proj

    def forward(self, steps: Tensor) -> Tensor:
        """Return `[steps, rows, features]` for the same."""
        parts = run(self.rnn, steps.contiguous())
        return linear_of_parts(parts, self.proj.weight, self.proj.bias)


class AttentionLSTM(nn.Module):
    """`gc3.AttentionLSTM`."""

    def __init__(self, layer: gc3.AttentionLSTM) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, steps: Tensor) -> Tensor:
        """Return `[steps, rows, features]` for the same."""
        layer = self.layer
        attended = layer.norm1(steps + self.attend(steps))
        wide = F.relu(layer.linear1(attended)[0], inplace=True)
        narrow = linear(wide, layer.linear2.weight, layer.linear2.bias, residual=attended)
        normed: Tensor = layer.norm2(narrow)
        return normed

    def attend(self, steps: Tensor) -> Tensor:
        """Return self-attention over the steps, `[steps, rows, features]`."""
        attention = self.layer.self_attn
        length, rows, width = steps.shape
        joint = linear(steps, attention.in_proj_weight, attention.in_proj_bias)
        heads = joint.view(length, rows, 3, attention.num_heads, width // attention.num_heads)
        if length <= SHORT_ATTENTION:
            joint = heads.permute(2, 3, 4, 0, 1)
            mixed = torch.cat(
                [short_attention(part) for part in torch.split(joint, SHORT_ATTENTION_ROWS, 4)], 3
            ).permute(2, 3, 0, 1)
        else:
            query, key, value = heads.permute(2, 1, 3, 0, 4)  # [rows, heads, steps, features]
            mixed = F.scaled_dot_product_attention(query, key, value).permute(2, 0, 1, 3)
        out = attention.out_proj
        return linear(mixed.reshape(steps.shape), out.weight, out.bias)


def short_attention(joint: Tensor) -> Tensor:
    """Return attention among few steps of few features, `[heads, features, steps, rows]`.

    With the rows last every operation runs over adjacent memory; with two features a head, a
    matrix product has next to nothing to multiply.

    Args:
        joint: Queries, keys and values, `[3, heads, features, steps, rows]`.
    """
    query, key, value = joint.contiguous()
    scores = (query.unsqueeze(3) * key.unsqueeze(2)).sum(1) * query.shape[1] ** -0.5
    weights = scores.softmax(2)  # [heads, asking step, asked step, rows]
    mixed: Tensor = (weights.unsqueeze(1) * value.unsqueeze(2)).sum(3)
    return mixed


FORMS = {
    **groupcomm.FORMS,
    gc3.ContextRNN: ContextRNN,
    gc3.ProjectedLSTM: ProjectedLSTM,
    gc3.AttentionLSTM: AttentionLSTM,
}
