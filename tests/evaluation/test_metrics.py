"""SI-SDR against closed forms and fast_bss_eval; the best order against brute force."""

import itertools
import math

import fast_bss_eval
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sepcli.evaluation.metrics import (
    best_order,
    pairwise_si_sdr,
    reorder,
    si_sdr,
    si_sdr_improvement,
)


def orthogonal_pair(time: int = 800) -> tuple[torch.Tensor, torch.Tensor]:
    """Two signals without mean, orthogonal, of equal energy: whole periods of sine and cosine."""
    phase = 2 * math.pi * 5 * torch.arange(time, dtype=torch.float64) / time
    return phase.sin(), phase.cos()


@pytest.mark.parametrize("error_db", [-40.0, -3.0, 0.0, 12.5, 60.0])
@pytest.mark.parametrize("scale", [1.0, -0.3, 1e-4])
def test_si_sdr_is_the_ratio_of_reference_and_orthogonal_error(
    error_db: float, scale: float
) -> None:
    reference, other = orthogonal_pair()
    estimate = scale * (reference + 10 ** (-error_db / 20) * other)
    assert si_sdr(estimate, reference).item() == pytest.approx(error_db, abs=1e-6)


@pytest.mark.parametrize("zero_mean", [True, False])
@pytest.mark.parametrize("time", [50, 4000])
def test_si_sdr_equals_fast_bss_eval(zero_mean: bool, time: int) -> None:
    rng = np.random.default_rng(time)
    reference = rng.standard_normal((3, time)) + 0.2
    estimate = reference[:, ::1] * 0.7 + rng.standard_normal((3, time)) + 0.1
    truth = [
        fast_bss_eval.si_sdr(reference[i : i + 1], estimate[i : i + 1], zero_mean=zero_mean)[0]
        for i in range(3)
    ]
    mine = si_sdr(estimate, reference, zero_mean=zero_mean).numpy()
    np.testing.assert_allclose(mine, np.squeeze(truth), atol=1e-6)


def test_pairwise_si_sdr_equals_fast_bss_eval() -> None:
    rng = np.random.default_rng(3)
    reference, estimate = rng.standard_normal((2, 3, 500))
    estimate = estimate + reference[[2, 0, 1]]
    truth, truth_order = fast_bss_eval.si_sdr(reference, estimate, zero_mean=True, return_perm=True)
    scores = pairwise_si_sdr(estimate, reference)
    order = best_order(scores)
    found = torch.gather(scores, 0, order.unsqueeze(0))[0]
    np.testing.assert_allclose(found.numpy(), truth, atol=1e-6)
    assert order.tolist() == list(truth_order) == [1, 2, 0]


def test_mean_is_ignored_unless_kept() -> None:
    reference, other = orthogonal_pair()
    estimate = reference + other
    assert si_sdr(estimate + 3, reference - 2).item() == pytest.approx(0.0, abs=1e-9)
    assert si_sdr(estimate + 3, reference, zero_mean=False).item() < -5


def test_unmeasurable_cases_are_defined() -> None:
    signal, other = orthogonal_pair()
    silence = torch.zeros_like(signal)
    assert math.isnan(si_sdr(signal, silence).item())
    assert math.isnan(si_sdr(silence, silence).item())
    assert si_sdr(silence, signal).item() == -math.inf
    assert si_sdr(other * 0 + 4.0, signal).item() == -math.inf
    assert si_sdr(signal * 2, signal).item() == math.inf or si_sdr(signal * 2, signal).item() > 300


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="lengths differ: 5 and 4"):
        si_sdr(torch.ones(5), torch.ones(4))


def test_improvement_is_the_difference_to_the_mixture() -> None:
    first, second = orthogonal_pair()
    reference = torch.stack((first, second))
    estimate = torch.stack((first + 0.1 * second, second + 0.1 * first))
    gained = si_sdr_improvement(estimate, reference, reference.sum(0))
    assert gained.tolist() == pytest.approx([20.0, 20.0], abs=1e-6)


def test_float32_and_numpy_inputs_agree_with_float64() -> None:
    generator = torch.Generator().manual_seed(0)
    reference, estimate = torch.randn(2, 2, 900, generator=generator, dtype=torch.float32)
    double = si_sdr(estimate.double(), reference.double())
    assert torch.equal(si_sdr(estimate, reference), double)
    assert torch.equal(si_sdr(estimate.numpy(), reference.numpy()), double)


@given(st.integers(1, 6), st.integers(0, 2), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_best_order_is_the_best_of_all(references: int, spare: int, seed: int) -> None:
    estimates = min(references + spare, 6)
    scores = torch.randn(2, estimates, references, generator=torch.Generator().manual_seed(seed))
    found = best_order(scores)
    for row, order in zip(scores, found, strict=True):
        truth = max(
            sum(row[e, r].item() for r, e in enumerate(order_))
            for order_ in itertools.permutations(range(estimates), references)
        )
        mine = sum(row[e, r].item() for r, e in enumerate(order.tolist()))
        assert mine == pytest.approx(truth, abs=1e-5)
        assert len(set(order.tolist())) == references


@pytest.mark.parametrize("speakers", [2, 3, 4, 7])
def test_shuffled_references_are_put_back(speakers: int) -> None:
    generator = torch.Generator().manual_seed(speakers)
    reference = torch.randn(speakers, 300, generator=generator, dtype=torch.float64)
    shuffle = torch.randperm(speakers, generator=generator)
    estimate = reference[shuffle]
    order = best_order(pairwise_si_sdr(estimate, reference))
    assert torch.equal(reorder(estimate, order), reference)


def test_silent_reference_does_not_spoil_the_order() -> None:
    first, second = orthogonal_pair()
    reference = torch.stack((first, torch.zeros_like(first), second))
    estimate = torch.stack((second, first, 0.01 * first + 0.01 * second))
    assert best_order(pairwise_si_sdr(estimate, reference)).tolist() == [1, 2, 0]


def test_too_few_estimates_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer estimates than references: 1 < 2"):
        best_order(torch.zeros(1, 2))


@pytest.mark.parametrize("kind", ["turned", "big-endian", "read-only", "whole"])
def test_arrays_may_lie_in_memory_as_they_like(kind: str) -> None:
    random = np.random.default_rng(0)
    truth = (random.standard_normal((2, 400)) * 1000).round()
    guess = truth[::-1] + 100 * random.standard_normal((2, 400))
    expected = pairwise_si_sdr(guess, truth)
    other = {
        "turned": np.ascontiguousarray(truth[:, ::-1])[:, ::-1],
        "big-endian": truth.astype(">f8"),
        "read-only": truth.copy(),
        "whole": truth.astype(np.int32).astype(np.int64),
    }[kind]
    other.flags.writeable = kind != "read-only"
    scores = pairwise_si_sdr(guess, other)
    torch.testing.assert_close(scores, expected)
    order = torch.tensor([1, 0])
    assert reorder(other, order).tolist() == truth[::-1].tolist()
    assert best_order(scores).tolist() == [1, 0]
