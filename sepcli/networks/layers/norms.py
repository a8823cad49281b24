"""Norms over more than one frame."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
    gain, offset = global_gain(features, weight, bias, eps)
    if residual is None:
        return torch.addcmul(offset, features, gain)
    # In place: the memory of a second result is what takes the time here, seven times the sums.
    return torch.addcmul(residual, features, gain).add_(offset)


class GlobalNorm(nn.Module):
    """Norm over everything but the batch (Conv-TasNet, eq. 5 to 7: gLN).

    Args:
        shape: Of its two parameters, as checkpoints store them; one number a feature.
        eps: Added to the variance.
        names: Of its parameters in checkpoints, gain and offset.
    """

    def __init__(
        self, shape: tuple[int, ...], eps: float, names: tuple[str, str] = ("weight", "bias")
    ) -> None:
        super().__init__()
        self.eps = eps
        self.names = names
        self.register_parameter(names[0], nn.Parameter(torch.ones(shape)))
        self.register_parameter(names[1], nn.Parameter(torch.zeros(shape)))

    @property
    def gain(self) -> Tensor:
        """The gain of each feature, `[features]`."""
        return self.get_parameter(self.names[0]).flatten()

    @property
    def offset(self) -> Tensor:
        """The offset of each feature, `[features]`."""
        return self.get_parameter(self.names[1]).flatten()

    def forward(self, features: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return normalised features `[batch, ..., features]`, plus `residual` if given."""
        return global_norm(features, self.gain, self.offset, self.eps, residual=residual)


def global_gain(
    features: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Return gain and offset, with which `features * gain + offset` is `global_norm`.

    Each is `[batch, 1, ..., 1, features]`, and can go into the weights of what comes next.

    Args:
        features: `[batch, ..., features]`.
        weight: Gain of each feature.
        bias: Offset of each feature.
        eps: Added to the variance.
    """
    # torch.var_mean takes 25 times as long as these two sums. They lose a digit only where the
    # mean is several times the deviation, which features of a network are not.
    precise = torch.promote_types(features.dtype, torch.float32)
    mean = features.mean(-1, dtype=precise).flatten(1).mean(-1)
    norm: Tensor = torch.linalg.vector_norm(features, dim=-1, dtype=precise)
    square = norm.square().flatten(1).mean(-1) / features.shape[-1]
    var = (square - mean.square()).clamp_min(0)
    shape = (-1, *[1] * (features.dim() - 2), features.shape[-1])
    gain = (var + eps).rsqrt().unsqueeze(1) * weight.flatten()
    offset = bias.flatten() - mean.unsqueeze(1) * gain
    return gain.view(shape).to(features.dtype), offset.view(shape).to(features.dtype)


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


def unit_scale(features: Tensor) -> Tensor:
    """Return features divided by the root mean square of each frame."""
    norm: Tensor = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
    return features / (norm / math.sqrt(features.shape[-1])).clamp_min(1e-5)


def time_norm(features: Tensor, gain: Tensor, offset: Tensor, slope: Tensor) -> Tensor:
    """Return channels normalised over the whole recording, then activated."""
    # batch norm of one row is instance norm, and has a kernel for channels last
    rows = [
        torch.batch_norm(row.t()[None, :, None], gain, offset, None, None, True, 0, 1e-5, True)
        for row in features
    ]
    normed = rows[0] if len(rows) == 1 else torch.cat(rows)
    return F.prelu(normed, slope).squeeze(2).transpose(1, 2)
