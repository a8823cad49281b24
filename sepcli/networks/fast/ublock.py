"""The U block of TDANet, S4M and TIGER, whose cost is passes over memory: norms and gates in place.

The norm of a gate's local features is not applied by itself. With gain a and offset b of the norm,
gate g and offset o of the coarse scale, (a x + b) up(g) + up(o) = x up(a g) + up(b g + o) is one
pass over the fine scale.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from sepcli.networks.fast.norms import is_short, normalise, rectify
from sepcli.networks.layers import depthwise, global_gain, pointwise
from sepcli.networks.layers import ublock as plain
from sepcli.networks.layers.resizing import resize

TILE = 1 << 18
"""Features that repeated frames are written out for at once: one megabyte."""


class ConvNorm(nn.Module):
    """`layers.ublock.ConvNorm`."""

    def __init__(self, part: plain.ConvNorm) -> None:
        super().__init__()
        self.conv, self.norm, self.act = part.conv, part.norm, part.act

    def forward(self, features: Tensor) -> Tensor:
        """Return `[row, ceil(time / stride), channel]`."""
        normed = normalise(self.convolve(features), self.norm)
        return normed if self.act is None else rectify(normed, self.act)

    def convolve(self, features: Tensor) -> Tensor:
        """Return the same before the norm, in memory of its own."""
        conv = self.conv
        if conv.kernel_size == (1,) and conv.groups == 1:
            return pointwise(features, conv)
        return depthwise(features, conv.weight, conv.bias, stride=conv.stride[0])


class Gate(nn.Module):
    """`layers.ublock.Gate`."""

    def __init__(self, gate: Any) -> None:  # a `plain.Gate` whose parts are in fast form
        super().__init__()
        self.local: ConvNorm = gate.local_embedding
        self.embed, self.act = gate.global_embedding, gate.global_act

    def forward(self, local: Tensor, coarse: Tensor) -> Tensor:
        """Return the gated features, `[row, time, channel]` as `local`."""
        fine, norm = self.local.convolve(local), self.local.norm
        gate, offset = self.act(coarse).sigmoid_(), self.embed(coarse)
        if is_short(fine):
            fine = normalise(fine, norm)
        else:
            gain, added = global_gain(fine, norm.gain, norm.offset, norm.eps)
            offset.addcmul_(gate, added)
            gate.mul_(gain)
        return spread(fine, gate, offset)


def spread(fine: Tensor, gate: Tensor, offset: Tensor) -> Tensor:
    """Return `layers.resizing.spread` in the place of `fine`."""
    frames, places = fine.shape[1], _places(gate.shape[1], fine.shape[1])
    if places is None:
        for parity in (0, 1):  # even frames, then odd ones: nothing coarse is written out twice
            own = fine[:, parity::2]
            some = slice(own.shape[1])
            torch.addcmul(offset[:, some], own, gate[:, some], out=own)
        return fine
    size = max(1, TILE // (fine.shape[0] * fine.shape[2]))
    for start in range(0, frames, size):  # what is written out stays in the cache
        own, place = fine[:, start : start + size], places[start : start + size]
        scale, added = gate.index_select(1, place), offset.index_select(1, place)
        torch.addcmul(added, own, scale, out=own)
    return fine


@lru_cache(maxsize=256)
def _places(source: int, target: int) -> Tensor | None:
    """Return the source frame of every target frame under `resize`; None for every one twice.

    The last may be there once. Torch computes the place in float32, so whole numbers would give
    others at some pairs of lengths.
    """
    with torch.inference_mode():
        places = resize(torch.arange(float(source))[None, :, None], target).flatten().long()
        return None if torch.equal(places, torch.arange(target) // 2) else places


FORMS = {plain.ConvNorm: ConvNorm, plain.Gate: Gate}
