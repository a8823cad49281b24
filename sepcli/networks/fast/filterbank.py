"""The ends of asteroid's networks a few frames at a time: masks of all frames are never held."""

from typing import Any

import torch
from torch import Tensor, nn

from sepcli.networks.layers import FilterbankNetwork
from sepcli.networks.layers.linear import linear
from sepcli.networks.layers.waveform import encode, overlap_add

TILE_BYTES = 2**21  # of the masks that are made at a time


class Network(nn.Module):
    """`FilterbankNetwork`, whose masker says what masks are made of and makes them."""

    def __init__(self, network: FilterbankNetwork) -> None:
        super().__init__()
        self.config = network.config
        self.masker: Any = network.masker
        self.encoder = network.encoder.filters
        self.decoder = network.decoder.filters.detach().flatten(1).t().contiguous()

    def forward(self, mixture: Tensor) -> Tensor:
        """Return estimates `[batch, speakers, time]` for a mixture `[batch, time]`."""
        config = self.config
        features = encode(mixture, self.encoder, config.stride, config.encoder_activation)
        hidden = self.masker.hidden(features)
        row = len(features) * config.num_speakers * config.num_filters * features.element_size()
        frames = max(1, TILE_BYTES // row)
        tiles = zip(torch.split(hidden, frames, 1), torch.split(features, frames, 1), strict=True)
        pieces = [
            linear(self.masker.masks(some).mul_(seen.unsqueeze(2)), self.decoder)
            for some, seen in tiles
        ]  # [batch, frames, speakers, kernel]
        return overlap_add(torch.cat(pieces, 1), config.stride, mixture.shape[-1])
