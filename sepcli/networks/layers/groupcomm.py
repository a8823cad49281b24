"""What the group-communication networks share: the exchange between groups, and a U block.

Features are cut into groups, and one narrow network serves every group. Groups belong to the batch
and features come last, `[batch, group, frame, feature]`.
"""

import torch
from torch import Tensor, nn

from sepcli.networks.layers.linear import linear, pointwise
from sepcli.networks.layers.norms import GlobalNorm
from sepcli.networks.layers.resizing import resize
from sepcli.networks.layers.ublock import ConvNorm, Descent, gamma_norm


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


class NormAct(nn.Module):
    """The norm and the PReLU that end a U block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = gamma_norm(width)
        self.act = nn.PReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Return `[rows, frames, features]` for the same."""
        rectified: Tensor = self.act(self.norm(features))
        return rectified


class SumBlock(nn.Module):
    """Sudo rm -rf's U block: down through strided depthwise filters, up by repeating and adding.

    Tzinis, Wang, Smaragdis, https://arxiv.org/abs/2103.02644, figure 2.
    """

    def __init__(self, width: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.proj_1x1 = ConvNorm(width, hidden, gamma_norm, rectify=True)
        self.spp_dw = Descent(hidden, depth, gamma_norm)
        self.final_norm = NormAct(hidden)
        self.res_conv = nn.Conv1d(hidden, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the features plus what the block found, `[rows, frames, features]`."""
        scales = self.spp_dw(self.proj_1x1(features))
        return pointwise(self.final_norm(add_up(scales)), self.res_conv, residual=features)


def add_up(scales: list[Tensor]) -> Tensor:
    """Return the finest scale with all coarser ones added, each frame of them repeated."""
    current = scales[-1]
    for finer in reversed(scales[:-1]):
        current = finer + resize(current, 2 * current.shape[1])[:, : finer.shape[1]]
    return current
