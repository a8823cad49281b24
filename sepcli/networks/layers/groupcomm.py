"""What the group-communication networks share: the exchange between groups.

Features are cut into groups, and one narrow network serves every group. Groups belong to the batch
and features come last, `[batch, group, frame, feature]`.
"""

import torch
from torch import Tensor, nn

from sepcli.networks.layers.linear import linear
from sepcli.networks.layers.norms import GlobalNorm


def by_group(norm: nn.Module, features: Tensor) -> Tensor:
    """Return each group normalised over all of its frames, `[batch, groups, ..., features]`."""
    normed: Tensor = norm(features.flatten(0, 1))
    return normed.view(features.shape)


class Rectified(nn.Sequential):
    """A linear map and a PReLU; keys `0` and `1`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Linear(inputs, outputs), nn.PReLU())

    def forward(self, features: Tensor) -> Tensor:
        """Return `[..., outputs]` for `[..., inputs]`."""
        weight, bias, slope = self.parameters()
        return linear(features, weight, bias, activation="prelu", slope=slope)


class TAC(nn.Module):
    """Transform, average, concatenate: what one group tells all others.

    Luo, Han, Mesgarani, https://arxiv.org/abs/2012.07291, section II-B. For every group g, with
    P, Q, R a linear map and a PReLU each: own_g = P(x_g), mean = Q(average of own over the groups),
    y_g = x_g + Norm(R([own_g, mean])).
    """

    def __init__(self, width: int, hidden: int, norm: GlobalNorm) -> None:
        super().__init__()
        self.TAC_input = Rectified(width, hidden)
        self.TAC_mean = Rectified(hidden, hidden)
        self.TAC_output = Rectified(2 * hidden, width)
        self.TAC_norm = norm

    def forward(self, features: Tensor) -> Tensor:
        """Return the features after the exchange, `[batch, groups, frames, features]`."""
        # B batch, G groups, T frames, W features, H hidden
        own = self.TAC_input(features)  # [B, G, T, H]
        mean = self.TAC_mean(own.mean(1, keepdim=True))  # [B, 1, T, H]
        told = self.TAC_output(torch.cat([own, mean.expand_as(own)], 3))  # [B, G, T, W]
        return features + by_group(self.TAC_norm, told)
