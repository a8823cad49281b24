"""The multi-scale block that TDANet, S4M and TIGER have in common, laid out for speed.

Li, Yang, Hu, "An efficient encoder-decoder architecture with top-down attention for speech
separation", ICLR 2023, https://arxiv.org/abs/2209.15200, figures 2 and 3: features go down through
strided depthwise convolutions, what all scales have in common is refined at the coarsest one, and
on the way back up it gates each scale.

Layout: `[row, time, channel]` throughout, in memory too, so that a convolution of kernel 1 is one
matrix product, a depthwise convolution is one pass over adjacent memory, and a normalisation is a
scale and an offset per channel. Rows never see each other. Three things make it fast:

- convolutions go through `conv2d` on a channels-last view, where torch has oneDNN kernels that use
  the whole width of the processor (its matrix products and 1-d convolutions do not);
- a gate is never computed at the fine scale: with a local branch a x + b, and a gate s and an
  offset o at the coarse scale, (a x + b) up(s) + up(o) = x up(a s) + up(b s + o) is one pass;
- of the last scale's gated features nothing is used as published, so they are not computed.
"""

from sepcli.networks.layers.ublock.block import UBlock
from sepcli.networks.layers.ublock.masker import RecurrentMasker
from sepcli.networks.layers.ublock.parts import (
    KERNEL,
    ConvNorm,
    GlobalNorm,
    MakeNorm,
    Norm,
    add_doubled,
    child,
    children,
    depthwise,
    group_norm,
    image,
    normalise,
    pointwise,
    rectify,
    scale_and_offset,
    sequence,
)

__all__ = [
    "KERNEL",
    "ConvNorm",
    "GlobalNorm",
    "MakeNorm",
    "Norm",
    "RecurrentMasker",
    "UBlock",
    "add_doubled",
    "child",
    "children",
    "depthwise",
    "group_norm",
    "image",
    "normalise",
    "pointwise",
    "rectify",
    "scale_and_offset",
    "sequence",
]
