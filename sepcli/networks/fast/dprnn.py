"""DPRNN: what a layer adds is added in place, and masks are made a few frames at a time."""

from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks import dprnn
from sepcli.networks.fast import filterbank
from sepcli.networks.layers import global_gain


class Norm(nn.Module):
    """`dprnn.Norm`, which overwrites what it is given to add to."""

    def __init__(self, norm: dprnn.Norm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, features: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return normalised features, or `residual` with these added."""
        if residual is None:
            normed: Tensor = self.norm(features)
            return normed
        gamma, beta = self.norm.gamma, self.norm.beta
        if not self.norm.over_row:
            return residual.add_(F.layer_norm(features, gamma.shape, gamma, beta, dprnn.EPS))
        gain, offset = global_gain(features.transpose(0, 1), gamma, beta, dprnn.EPS)
        return residual.addcmul_(features, gain.transpose(0, 1)).add_(offset.transpose(0, 1))


FORMS = {dprnn.Network: filterbank.Network, dprnn.Norm: Norm}
