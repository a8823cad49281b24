"""MossFormer2 with norms and skips folded into the weights, and groups one after the other.

Weights are laid out once, in the order that the kernels take them in. What a layer holds at a time
is that of one group, not of the whole recording.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks import mossformer2 as plain
from sepcli.networks.layers import depthwise, linear
from sepcli.networks.layers.linear import pack


class ConvLinear(nn.Module):
    """`mossformer2.ConvLinear`, of features normalised without gain and offset."""

    def __init__(self, layer: plain.ConvLinear) -> None:
        super().__init__()
        norm, last = layer.mdl["0"], layer.mdl["1"]
        weight, bias = (last.get_parameter(name).detach() for name in ("weight", "bias"))
        filters = layer.get_parameter("mdl.3.sequential.1.conv.weight").detach()
        if isinstance(norm, nn.LayerNorm):
            bias = bias + weight @ norm.bias.detach()
            weight = weight * norm.weight.detach()
        else:
            weight = weight * norm.get_parameter("g").detach()
        self.weight, self.bias = pack(weight), bias
        half = plain.TAPS // 2
        self.taps = filters + F.pad(filters.new_ones(1, 1, 1), (half, half))  # and the skip

    def forward(self, normed: Tensor) -> Tensor:
        """Return `[batch, frames, outputs]`."""
        return depthwise(linear(normed, self.weight, self.bias, activation="silu"), self.taps)


class Attention(nn.Module):
    """`mossformer2.Attention`."""

    def __init__(self, layer: plain.Attention) -> None:
        super().__init__()
        self.group = layer.group
        self.rates = layer.rotary_pos_emb.freqs
        self.gamma, self.beta = layer.qk_offset_scale.gamma, layer.qk_offset_scale.beta
        self.to_hidden = ConvLinear(layer.to_hidden)
        self.to_qk = ConvLinear(layer.to_qk)
        self.to_out = ConvLinear(layer.to_out)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, N]` for the same."""
        unit = plain.unit_scale(plain.half_late(features))
        heads = self.heads(self.to_qk(unit), features.shape[1])  # [4, B, L, Q]
        both = self.to_hidden(unit)  # [B, L, H]
        del unit  # so that its memory can be had
        rows = [self.row(both[row], heads[:, row]) for row in range(len(features))]
        out: Tensor = self.to_out(torch.stack(rows))
        return out.add_(features)

    def heads(self, shared: Tensor, frames: int) -> Tensor:
        """Return queries (near, far) and keys (near, far), scaled and turned, `[4, B, L, Q]`."""
        scale = self.gamma.new_tensor((1 / self.group, 1.0, 1.0, 1 / frames)).view(-1, 1, 1, 1)
        gain, offset = (each[:, None, None] * scale for each in (self.gamma, self.beta))
        heads = torch.addcmul(offset, shared, gain)
        angles = torch.arange(frames, dtype=self.rates.dtype).unsqueeze(1) * self.rates
        pairs = heads[..., : 2 * len(self.rates)].view(*heads.shape[:-1], -1, 2)
        torch.view_as_complex(pairs).mul_(torch.polar(torch.ones_like(angles), angles))
        return heads

    def row(self, both: Tensor, heads: Tensor) -> Tensor:
        """Return what the last layer sees of one row of the batch, `[frames, H / 2]`."""
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
            rows = kept[: weights.shape[1]]
            rows[len(far) :] = both[near]
            seen = linear(weights, rows.t())
            gate = (seen[:, :half] * both[near, half:]).sigmoid_()
            result[near] = plain.unit_scale((seen[:, half:] * both[near, :half]).mul_(gate))
        return result


class MemoryBlock(nn.Module):
    """`mossformer2.MemoryBlock`."""

    def __init__(self, block: plain.MemoryBlock) -> None:
        super().__init__()
        names = ("conv1.0.weight", "conv1.0.bias", "conv1.1.weight", "conv2.weight", "conv2.bias")
        into, self.offset, self.slope, out, self.last_offset = map(block.get_parameter, names)
        self.into, self.out = (pack(each.detach().squeeze(2)) for each in (into, out))
        self.norm1, self.norm2 = block.norm1, block.norm2
        gated = block.gated_fsmn
        self.to_u, self.to_v = ConvLinear(gated.to_u), ConvLinear(gated.to_v)
        self.memory = Memory(gated.fsmn)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, N]` for the same."""
        into, slope = self.into, self.slope
        narrow = linear(features, into, self.offset, activation="prelu", slope=slope)
        inner = self.norm1(narrow)  # [B, L, M]
        normed = F.layer_norm(inner, inner.shape[-1:])
        inner = torch.addcmul(inner, self.memory(self.to_u(normed)), self.to_v(normed))
        return linear(self.norm2(inner), self.out, self.last_offset, residual=features)


class Memory(nn.Module):
    """`mossformer2.Memory`: even channels before odd ones between its maps.

    A group of the second convolution has two neighbouring channels; so these are two maps whose
    convolutions add up inside one kernel.
    """

    def __init__(self, memory: plain.Memory) -> None:
        super().__init__()
        conv = memory.conv
        self.weight, self.bias = pack(memory.linear.weight.detach()), memory.linear.bias
        self.project = pack(evens_first(memory.project.weight.detach()))
        first = (conv.conv1.weight.squeeze(3), conv.norm1.weight, conv.norm1.bias)
        self.taps, *self.first = (evens_first(p.detach()) for p in (*first, conv.prelu1.weight))
        self.last_taps = conv.conv2.weight.detach().squeeze(3)
        self.last = [conv.norm2.weight, conv.norm2.bias, conv.prelu2.weight]

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, frames, M]` for the same."""
        inner = linear(features, self.weight, self.bias, activation="relu")
        return self.convolve(linear(inner, self.project)).add_(features)

    def convolve(self, features: Tensor) -> Tensor:
        """Return both convolutions, `[batch, frames, M]`, of even channels before odd ones."""
        batch, frames, dim = features.shape
        half = dim // 2
        first = plain.time_norm(depthwise(features, self.taps), *self.first)
        even = frames + frames % 2  # so that the dilated convolution takes the maps as they are
        maps = first.new_empty(batch, 2, even, dim)
        maps[:, :, frames:] = 0
        for index, own in enumerate((slice(half), slice(half, dim))):
            maps[:, index, :frames, :half] = first[..., own]
            maps[:, index, :frames, half:] = features[..., own]
        return plain.time_norm(depthwise(maps, self.last_taps, dilation=2)[:, :frames], *self.last)


def evens_first(weight: Tensor) -> Tensor:
    """Return rows 0, 2, … and then rows 1, 3, … of a weight."""
    return torch.cat([weight[0::2], weight[1::2]])


FORMS = {plain.Attention: Attention, plain.MemoryBlock: MemoryBlock}
