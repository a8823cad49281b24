"""The blocks that networks share.

Everything here keeps features last, `[batch, ..., time, features]`: linear layers, norms and
attention then read memory in order, and no transpose is needed between them.
"""

from sepcli.networks.layers.attention import CrossAttention, Rotary, RotaryAttention
from sepcli.networks.layers.convolution import depthwise
from sepcli.networks.layers.dualpath import DualPathMasker
from sepcli.networks.layers.filterbank import Filterbank, FilterbankConfig, FilterbankNetwork
from sepcli.networks.layers.linear import linear, pointwise
from sepcli.networks.layers.norms import GlobalNorm, global_gain, global_norm
from sepcli.networks.layers.recurrent import group_size, linear_of_parts, recur, run
from sepcli.networks.layers.segments import half_overlap_padding, merge, merge_split, segment
from sepcli.networks.layers.sizes import check_sizes
from sepcli.networks.layers.transformer import (
    Positions,
    SelfAttention,
    Transformer,
    attend,
    sinusoids,
)
from sepcli.networks.layers.waveform import (
    Encoder,
    decode,
    encode,
    gate_features,
    gated_masks,
    mask_mixture,
)

__all__ = [
    "CrossAttention",
    "DualPathMasker",
    "Encoder",
    "Filterbank",
    "FilterbankConfig",
    "FilterbankNetwork",
    "GlobalNorm",
    "Positions",
    "Rotary",
    "RotaryAttention",
    "SelfAttention",
    "Transformer",
    "attend",
    "check_sizes",
    "decode",
    "depthwise",
    "encode",
    "gate_features",
    "gated_masks",
    "global_gain",
    "global_norm",
    "group_size",
    "half_overlap_padding",
    "linear",
    "linear_of_parts",
    "mask_mixture",
    "merge",
    "merge_split",
    "pointwise",
    "recur",
    "run",
    "segment",
    "sinusoids",
]
