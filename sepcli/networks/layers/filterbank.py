"""What the networks that asteroid published have around their maskers."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from sepcli.networks.layers.waveform import mask_mixture


@dataclass(frozen=True, kw_only=True)
class FilterbankConfig:
    """Sizes and choices outside the masker.

    Attributes:
        num_speakers: Estimates <C>.
        num_filters: Features of a frame, the encoder's <N>.
        kernel_size: Encoder window <L> [samples].
        stride: Distance of frames [samples].
        encoder_activation: What follows the encoder.
        mask_activation: What bounds the masks; softmax is over speakers.
    """

    num_speakers: int = 2
    num_filters: int = 64
    kernel_size: int = 16
    stride: int = 8
    encoder_activation: Literal["none", "relu", "sigmoid"] = "none"
    mask_activation: Literal["sigmoid", "relu", "softmax"] = "sigmoid"

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.kernel_size:
            raise ValueError(f"stride must be 1 to kernel_size: {self.stride}")

    def bound(self, masks: Tensor) -> Tensor:
        """Return masks after their activation, `[batch, frames, speakers, filters]`."""
        if self.mask_activation == "softmax":
            return masks.softmax(2)
        return masks.sigmoid() if self.mask_activation == "sigmoid" else masks.relu()


class Filterbank(nn.Module):
    """Filters under the key `filterbank._filters`, `[features, 1, kernel]`."""

    def __init__(self, num_filters: int, kernel_size: int) -> None:
        super().__init__()
        self.filterbank = nn.ParameterDict()
        filters = torch.empty(num_filters, 1, kernel_size)
        self.filterbank["_filters"] = nn.Parameter(nn.init.xavier_normal_(filters))

    @property
    def filters(self) -> Tensor:
        """The filters, `[features, 1, kernel]`."""
        filters: Tensor = self.filterbank["_filters"]
        return filters


class FilterbankNetwork(nn.Module):
    """Encoder, masker and decoder: `[batch, time]` → `[batch, speakers, time]`.

    Args:
        config: See `FilterbankConfig`.
        masker: Features `[batch, frames, filters]` → masks `[batch, frames, speakers, filters]`.
    """

    def __init__(self, config: FilterbankConfig, masker: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.encoder = Filterbank(config.num_filters, config.kernel_size)
        self.masker = masker
        self.decoder = Filterbank(config.num_filters, config.kernel_size)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]` of any length ≥ 1.

        The last samples, which do not fill a frame, are zero as published.
        """
        filters = self.encoder.filters, self.decoder.filters
        stride, activation = self.config.stride, self.config.encoder_activation
        return mask_mixture(mixture, self.masker, *filters, stride, activation)
