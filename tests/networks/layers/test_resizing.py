"""What resizes is held to torch's own resizing, features before frames."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sepcli.networks.layers.resizing import pool, resize, spread

# Doubled, doubled but for the last, four times, one frame, neither; and shorter than it was.
LENGTHS = [(4, 8), (4, 7), (2, 8), (1, 1), (3, 7), (8, 4)]


def resized(features: Tensor, frames: int) -> Tensor:
    return F.interpolate(features.transpose(1, 2), size=frames).transpose(1, 2)


@pytest.mark.parametrize(("coarse", "frames"), LENGTHS)
@pytest.mark.parametrize("training", [False, True])
def test_spread_resizes_gate_and_offset(coarse: int, frames: int, training: bool) -> None:
    fine, gate, offset = torch.randn(2, frames, 3), *torch.randn(2, 2, coarse, 3)
    expected = fine * resized(gate, frames) + resized(offset, frames)
    with torch.set_grad_enabled(training):
        torch.testing.assert_close(spread(fine, gate, offset), expected)


@pytest.mark.parametrize(("source", "frames"), LENGTHS)
def test_resize_takes_the_nearest_frame(source: int, frames: int) -> None:
    features = torch.randn(2, source, 3)
    assert torch.equal(resize(features, frames), resized(features, frames))


@pytest.mark.parametrize(("source", "frames"), [(8, 4), (7, 4), (9, 2), (3, 3)])
def test_pool_is_an_average(source: int, frames: int) -> None:
    features = torch.randn(2, source, 3)
    expected = F.adaptive_avg_pool1d(features.transpose(1, 2), frames).transpose(1, 2)
    torch.testing.assert_close(pool(features, frames), expected)
