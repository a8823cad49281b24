"""S4M: its U block in few passes, the spectra of its kernel kept from chunk to chunk."""

from functools import lru_cache

from torch import Tensor, nn

from sepcli.networks import s4m
from sepcli.networks.fast import ublock

LENGTHS = 4
"""Spectra that are kept: chunks have one length, short recordings their own."""


class S4(nn.Module):
    """`s4m.S4`."""

    def __init__(self, layer: s4m.S4) -> None:
        super().__init__()
        self.layer = layer
        self.spectrum = lru_cache(LENGTHS)(layer.spectrum)

    def forward(self, features: Tensor, spectrum: Tensor) -> Tensor:
        """Return `[row, time, channel]`; `spectrum` is of as many frames."""
        found: Tensor = self.layer(features, spectrum)
        return found


FORMS = {**ublock.FORMS, s4m.S4: S4}
