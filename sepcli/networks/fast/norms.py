"""Norms and rectifiers that overwrite what they are given."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers import GlobalNorm, global_gain

SHORT = 1 << 17
"""Features up to which the fused norm beats sums and an affine map in place."""


def is_short(features: Tensor) -> bool:
    """Tell whether sequences `[..., frames, features]` are best normalised by the fused norm."""
    return features.shape[-2:].numel() < SHORT


def normalise(features: Tensor, norm: GlobalNorm) -> Tensor:
    """Return each sequence normalised over its frames, `[..., frames, features]`; may overwrite."""
    shape = features.shape[-2:]
    if is_short(features):
        weight, bias = norm.gain.expand(shape), norm.offset.expand(shape)
        return F.layer_norm(features, shape, weight, bias, norm.eps)
    rows = features.view(-1, *shape)
    gain, offset = global_gain(rows, norm.gain, norm.offset, norm.eps)
    return torch.addcmul(offset, rows, gain, out=rows).view(features.shape)


def rectify(features: Tensor, act: nn.Module) -> Tensor:
    """Return the features after a PReLU of one slope, in place."""
    return F.leaky_relu_(features, float(act.get_parameter("weight")))
