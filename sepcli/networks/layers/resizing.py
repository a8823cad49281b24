"""Features `[row, time, channel]` brought to another number of frames."""

from functools import lru_cache

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
    """Return `fine * resize(gate, frames) + resize(offset, frames)` in one pass.

    Args:
        fine: `[row, frames, channel]`.
        gate: `[row, coarse frames, channel]`.
        offset: `[row, coarse frames, channel]`.
    """
    frames, coarse = fine.shape[1], gate.shape[1]
    if torch.is_grad_enabled() or not _doubles(coarse, frames, fine.device):
        return torch.addcmul(resize(offset, frames), fine, resize(gate, frames))
    result = torch.empty_like(fine)
    for parity in (0, 1):  # even frames, then odd ones: nothing coarse is written out twice
        own = fine[:, parity::2]
        some = slice(own.shape[1])
        torch.addcmul(offset[:, some], own, gate[:, some], out=result[:, parity::2])
    return result


@lru_cache(maxsize=256)
def _doubles(source: int, target: int, device: torch.device) -> bool:
    """Tell whether resizing takes every source frame twice, but perhaps the last once.

    Torch computes the place in float32, so it need not at every pair of such lengths.
    """
    if source != (target + 1) // 2:
        return False
    with torch.inference_mode():
        places = resize(torch.arange(float(source), device=device)[None, :, None], target)
        return torch.equal(places.flatten().long(), torch.arange(target, device=device) // 2)
