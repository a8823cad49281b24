"""The training loss: equal to closed forms, finite everywhere, defined where nobody speaks."""

import math

import pytest
import torch

from sepcli.evaluation.metrics import best_order, pairwise_si_sdr, reorder
from sepcli.training.loss import pit_snr, thresholded_snr


def signals(speakers: int = 3, batch: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(batch, speakers, 800, generator=generator)
    shuffled = reference[:, torch.randperm(speakers, generator=generator)]
    return shuffled + 0.3 * torch.randn(batch, speakers, 800, generator=generator), reference


@pytest.mark.parametrize("error", [1.0, 0.1, 0.001])
def test_it_is_the_snr_up_to_the_threshold(error: float) -> None:
    _, reference = signals()
    reached = thresholded_snr((1 - error) * reference, reference, reference, threshold_db=30.0)
    expected = -10 * math.log10(error**2 + 1e-3)
    assert torch.allclose(reached, torch.full_like(reached, expected), atol=1e-3)


@pytest.mark.parametrize("left", [1.0, 0.1, 0.0])
def test_a_silent_reference_asks_for_silence(left: float) -> None:
    _, reference = signals()
    mixture = reference.sum(1, keepdim=True).expand_as(reference)
    reached = thresholded_snr(left * mixture, torch.zeros_like(mixture), mixture)
    expected = -10 * math.log10(left**2 + 1e-3)
    assert torch.allclose(reached, torch.full_like(reached, expected), atol=1e-3)


@pytest.mark.parametrize("speakers", [1, 2, 3, 5])
def test_the_best_order_is_that_of_the_metric(speakers: int) -> None:
    estimate, reference = signals(speakers)
    mixture = reference.sum(1)
    ordered = reorder(estimate, best_order(pairwise_si_sdr(estimate, reference)))
    truth = thresholded_snr(ordered, reference, mixture.unsqueeze(1)).mean(-1)
    assert torch.allclose(pit_snr(estimate, reference, mixture), truth, atol=1e-5)


def test_one_talker_belongs_into_one_output() -> None:
    _, reference = signals(2)
    reference[:, 0] = 0
    mixture = reference.sum(1)
    shared = torch.stack((mixture / 2, mixture / 2), 1)
    either = [pit_snr(e, reference, mixture) for e in (reference, reference.flip(1))]
    assert torch.equal(*either)
    assert (either[0] > pit_snr(shared, reference, mixture) + 20).all()


def test_polarity_counts() -> None:
    _, reference = signals(2)
    mixture = reference.sum(1)
    assert (pit_snr(-reference, reference, mixture) < 0).all()


@pytest.mark.parametrize("silent", ["estimate", "reference", "all"])
def test_silence_has_a_finite_value_and_gradient(silent: str) -> None:
    estimate, reference = signals(2, 2)
    if silent in ("estimate", "all"):
        estimate = torch.zeros_like(estimate)
    if silent in ("reference", "all"):
        reference = torch.zeros_like(reference)
    mixture = torch.zeros_like(reference[:, 0]) if silent == "all" else reference.sum(1)
    estimate.requires_grad_(True)
    reached = pit_snr(estimate, reference, mixture).mean()
    reached.backward()
    assert reached.isfinite()
    assert estimate.grad is not None and estimate.grad.isfinite().all()
