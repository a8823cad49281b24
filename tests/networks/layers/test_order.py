"""The order of estimates by their likeness to others."""

import itertools

import pytest
import torch

from sepcli.networks.layers.order import best_assignment, reordered


@pytest.mark.parametrize(("estimates", "signals"), [(2, 2), (4, 3), (5, 5), (6, 4)])
def test_the_assignment_has_the_largest_sum(estimates: int, signals: int) -> None:
    scores = torch.randn(3, estimates, signals, generator=torch.Generator().manual_seed(1))
    found = best_assignment(scores)
    assert found.shape == (3, signals)
    for table, order in zip(scores, found, strict=True):
        sums = {
            each: float(sum(table[row, column] for column, row in enumerate(each)))
            for each in itertools.permutations(range(estimates), signals)
        }
        assert tuple(order.tolist()) == max(sums, key=lambda each: sums[each])


@pytest.mark.parametrize("speakers", [2, 4, 5, 12])
def test_a_shuffled_copy_comes_back_in_its_order(speakers: int) -> None:
    random = torch.Generator().manual_seed(2)
    like = torch.randn(2, speakers, 400, generator=random)
    shuffle = torch.randperm(speakers, generator=random)
    noisy = like + 0.3 * torch.randn(like.shape, generator=random)
    assert torch.equal(reordered(noisy[:, shuffle], like), noisy)
