"""Norms over more than one frame."""

import torch
from torch import Tensor


def global_norm(
    features: Tensor, weight: Tensor, bias: Tensor, eps: float, *, residual: Tensor | None = None
) -> Tensor:
    """Return features normalised over everything but the batch, plus `residual` if given.

    Args:
        features: `[batch, ..., features]`.
        weight: Gain of each feature.
        bias: Offset of each feature.
        eps: Added to the variance.
        residual: Of the shape of `features`.
    """
    # Statistics of rows first, then of their means: both stages are exact and run in parallel.
    row_var, row_mean = torch.var_mean(features.flatten(1, -2), -1, correction=0)
    mean_var, mean = torch.var_mean(row_mean, -1, correction=0)
    scale = (row_var.mean(-1) + mean_var + eps).rsqrt()
    shape = (-1, *[1] * (features.dim() - 2), features.shape[-1])
    gain = scale.unsqueeze(1) * weight.flatten()
    offset = (bias.flatten() - mean.unsqueeze(1) * gain).view(shape)
    if residual is None:
        return torch.addcmul(offset, features, gain.view(shape))
    return torch.addcmul(residual, features, gain.view(shape)) + offset


def cumulative_norm(features: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Return features where each frame is normalised by all frames up to it (Conv-TasNet, eq. 9).

    Args:
        features: `[batch, time, features]`.
        weight: Gain of each feature.
        bias: Offset of each feature.
        eps: Added to the variance.
    """
    time, dim = features.shape[1:]
    count = torch.arange(1, time + 1, dtype=features.dtype, device=features.device) * dim
    mean = features.sum(-1).cumsum(-1) / count
    square = features.square().sum(-1).cumsum(-1) / count
    scale = (square - mean.square()).clamp_min(0).add(eps).rsqrt().unsqueeze(-1)
    return (features - mean.unsqueeze(-1)) * scale * weight.flatten() + bias.flatten()
