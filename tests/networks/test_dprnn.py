from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from sepcli.networks.dprnn import Block, Config

NARROW = Config(bottleneck=6, hidden=5, segment=8, hop=4)


def joined(hidden: Iterator[Tensor]) -> Tensor:
    return torch.cat(list(hidden), dim=-1)


def test_block_reaches_everything_in_two_steps() -> None:
    torch.manual_seed(0)
    block = Block(NARROW).eval()
    segments = torch.randn(5, 1, 8, 6)
    within = block.intra_RNN(segments.flatten(0, 1), joined, False)
    changed = segments.clone()
    changed[2, 0, 3] += 1
    moved = block.intra_RNN(changed.flatten(0, 1), joined, False) != within
    assert moved.any(-1).any(-1).tolist() == [False, False, True, False, False]
    across = block.inter_RNN(segments.flatten(1, 2), joined, True)
    moved = block.inter_RNN(changed.flatten(1, 2), joined, True) != across
    assert moved.any(-1).any(0).tolist() == [frame == 3 for frame in range(8)]


def test_rows_of_a_batch_keep_their_place() -> None:
    torch.manual_seed(0)
    block = Block(NARROW).eval()
    segments = torch.randn(5, 3, 8, 6)
    together = block(segments)
    for row in range(3):
        alone = block(segments[:, row : row + 1].contiguous())
        assert torch.allclose(together[:, row : row + 1], alone, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"stride": 0}, {"hop": 101}])
def test_refuses_sizes_that_do_not_fit(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Config(**wrong)
