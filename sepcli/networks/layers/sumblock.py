"""The U block of Sudo rm -rf and of what is made from it: down by filters, up by adding.

Tzinis, Wang, Smaragdis, https://arxiv.org/abs/2103.02644, figure 2. Features come last,
`[row, frame, feature]`.
"""

from torch import Tensor, nn

from sepcli.networks.layers.linear import pointwise
from sepcli.networks.layers.norms import GlobalNorm
from sepcli.networks.layers.resizing import resize
from sepcli.networks.layers.ublock import ConvNorm, Descent, gamma_norm


class NormAct(nn.Module):
    """A norm and a PReLU."""

    def __init__(self, norm: GlobalNorm, act: nn.PReLU) -> None:
        super().__init__()
        self.norm = norm
        self.act = act

    def forward(self, features: Tensor) -> Tensor:
        """Return `[rows, frames, features]` for the same."""
        rectified: Tensor = self.act(self.norm(features))
        return rectified


class SumBlock(nn.Module):
    """Down through strided depthwise filters, up by repeating and adding."""

    def __init__(self, width: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.proj_1x1 = ConvNorm(width, hidden, gamma_norm, rectify=True)
        self.spp_dw = Descent(hidden, depth, gamma_norm)
        self.final_norm = NormAct(gamma_norm(hidden), nn.PReLU())
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
