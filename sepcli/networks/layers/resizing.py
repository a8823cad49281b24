"""Features `[row, time, channel]` brought to another number of frames."""

import torch
from torch import Tensor
from torch.nn import functional as F


def resize(features: Tensor, frames: int) -> Tensor:
    """Return the features with frames repeated or left out: nearest neighbours, as torch has it."""
    image = features.transpose(1, 2).unsqueeze(2)  # channels last, which is the fast layout
    return F.interpolate(image, size=(1, frames)).squeeze(2).transpose(1, 2)


def pool(features: Tensor, frames: int) -> Tensor:
    """Return the features averaged down to `frames`."""
    image = features.transpose(1, 2).unsqueeze(2)
    return F.adaptive_avg_pool2d(image, (1, frames)).squeeze(2).transpose(1, 2)


def spread(fine: Tensor, gate: Tensor, offset: Tensor) -> Tensor:
    """Return `fine * resize(gate, frames) + resize(offset, frames)`.

    Args:
        fine: `[row, frames, channel]`.
        gate: `[row, coarse frames, channel]`.
        offset: `[row, coarse frames, channel]`.
    """
    frames = fine.shape[1]
    return torch.addcmul(resize(offset, frames), fine, resize(gate, frames))
