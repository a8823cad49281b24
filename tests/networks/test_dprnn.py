import pytest
import torch

from sepcli.networks.dprnn import Block, Config

NARROW = Config(bottleneck=6, hidden=5, segment=8, hop=4)


def test_block_reaches_everything_in_two_steps() -> None:
    torch.manual_seed(0)
    block = Block(NARROW).eval()
    segments = torch.randn(5, 1, 8, 6)
    within = block.intra_RNN(segments.flatten(0, 1), block.intra_linear, time_first=False)
    changed = segments.clone()
    changed[2, 0, 3] += 1
    again = block.intra_RNN(changed.flatten(0, 1), block.intra_linear, time_first=False)
    moved = again != within
    assert moved.any(-1).any(-1).tolist() == [False, False, True, False, False]
    across = block.inter_RNN(segments.flatten(1, 2), block.inter_linear, time_first=True)
    again = block.inter_RNN(changed.flatten(1, 2), block.inter_linear, time_first=True)
    moved = again != across
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
