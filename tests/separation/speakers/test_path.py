import itertools

import numpy as np
import pytest

from sepcli.separation.speakers.path import best_path


def prices_of(num_states: int) -> np.ndarray:
    """Return what changes cost, each something else."""
    prices = np.random.default_rng(1).uniform(0.5, 3.0, (num_states, num_states))
    np.fill_diagonal(prices, 0.0)
    return prices


@pytest.mark.parametrize("seed", range(5))
def test_no_path_is_better(seed: int) -> None:
    evidence, prices = np.random.default_rng(seed).standard_normal((6, 3)), prices_of(3)

    def worth(path: tuple[int, ...]) -> float:
        changes = sum(prices[one, other] for one, other in itertools.pairwise(path))
        return sum(evidence[step, state] for step, state in enumerate(path)) - changes

    best = max(itertools.product(range(3), repeat=6), key=worth)
    assert best_path([evidence], prices).tolist() == list(best)


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_blocks_of_any_length_give_the_same_path(size: int) -> None:
    evidence, prices = np.random.default_rng(0).standard_normal((1000, 4)), prices_of(4)
    blocks = (evidence[start : start + size] for start in range(0, 1000, size))
    np.testing.assert_array_equal(best_path(blocks, prices), best_path([evidence], prices))


def test_what_was_open_for_long_is_decided_at_the_end() -> None:
    prices = np.full((2, 2), 10.0) - 10.0 * np.eye(2)
    evidence = np.zeros((50, 2))  # nothing tells the two apart, until the last step
    evidence[-1, 1] = 1.0
    assert best_path(np.split(evidence, 10), prices).tolist() == [1] * 50


def test_one_state_needs_no_decision() -> None:
    assert best_path([np.zeros((3, 1)), np.zeros((2, 1))], np.zeros((1, 1))).tolist() == [0] * 5
