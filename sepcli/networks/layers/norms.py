"""Norms over more than one frame."""

import torch
from torch import Tensor, nn


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
