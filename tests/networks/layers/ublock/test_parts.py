"""What resizes is held to torch's own resizing to the fine length."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sepcli.networks.layers.ublock import add_doubled
from sepcli.networks.layers.ublock.parts import spread

# Doubled, doubled but for the last, four times, one frame, neither; and shorter than it was.
LENGTHS = [(4, 8), (4, 7), (2, 8), (1, 1), (3, 7), (8, 4)]


def resized(features: Tensor, frames: int) -> Tensor:
    return F.interpolate(features.transpose(1, 2), size=frames).transpose(1, 2)


@pytest.mark.parametrize(("coarse", "frames"), LENGTHS)
@pytest.mark.parametrize("training", [False, True])
def test_spread_resizes_factor_and_offset(coarse: int, frames: int, training: bool) -> None:
    fine, factor, offset = torch.randn(2, frames, 3), *torch.randn(2, 2, coarse, 3)
    expected = fine * resized(factor, frames) + resized(offset, frames)
    with torch.set_grad_enabled(training):
        torch.testing.assert_close(spread(fine, factor, offset), expected)


@pytest.mark.parametrize(("coarse", "frames"), LENGTHS[:2])
@pytest.mark.parametrize("training", [False, True])
def test_add_doubled_overwrites_only_what_no_gradient_needs(
    coarse: int, frames: int, training: bool
) -> None:
    fine, added = torch.randn(2, frames, 3), torch.randn(2, coarse, 3)
    expected = fine + added.repeat_interleave(2, 1)[:, :frames]
    with torch.set_grad_enabled(training):
        assert torch.equal(add_doubled(fine, added), expected)
    assert torch.equal(fine, expected) is not training
