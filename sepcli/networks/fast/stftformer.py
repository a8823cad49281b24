"""Masking transformer: weights laid out once, and a GELU within the product that it follows."""

from torch import Tensor, nn

from sepcli.networks import stftformer
from sepcli.networks.layers.linear import linear, pack


class Dense(nn.Module):
    """`nn.Linear`."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = pack(layer.weight.detach()), layer.bias

    def forward(self, features: Tensor, activation: str = "none") -> Tensor:
        """Return `[..., outputs]` for `[..., inputs]`."""
        return linear(features, self.weight, self.bias, activation=activation)


class FeedForward(nn.Module):
    """`stftformer.FeedForward`."""

    def __init__(self, layer: stftformer.FeedForward) -> None:
        super().__init__()
        self.norm, self.up, self.down = layer.norm, layer.up, layer.down

    def forward(self, tokens: Tensor) -> Tensor:
        """Return `[batch, frames, dim]` for the same."""
        fed: Tensor = self.down(self.up(stftformer.half_shifted(self.norm(tokens)), "gelu"))
        return fed


class BandFeedForward(nn.Module):
    """`stftformer.BandFeedForward`."""

    def __init__(self, layer: stftformer.BandFeedForward) -> None:
        super().__init__()
        self.norm, self.up, self.down = layer.norm, layer.up, layer.down

    def forward(self, bands: Tensor) -> Tensor:
        """Return `[batch, frames, bands, channels]` for the same."""
        fed: Tensor = self.down(self.up(stftformer.with_neighbours(self.norm(bands)), "gelu"))
        return fed


FORMS = {
    nn.Linear: Dense,
    stftformer.FeedForward: FeedForward,
    stftformer.BandFeedForward: BandFeedForward,
}
