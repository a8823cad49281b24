"""The training loss: equal to the metrics where both are defined, finite everywhere."""

import pytest
import torch

from sepcli.evaluation.metrics import best_order, pairwise_si_sdr, reorder, si_sdr
from sepcli.training.loss import pit_si_sdr, separation_loss, training_si_sdr


def signals(speakers: int = 3, batch: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(batch, speakers, 800, generator=generator)
    shuffled = reference[:, torch.randperm(speakers, generator=generator)]
    return shuffled + 0.3 * torch.randn(batch, speakers, 800, generator=generator), reference


@pytest.mark.parametrize("speakers", [1, 2, 3, 5])
def test_best_order_score_equals_the_metric(speakers: int) -> None:
    estimate, reference = signals(speakers)
    order = best_order(pairwise_si_sdr(estimate, reference))
    truth = si_sdr(reorder(estimate, order), reference).mean(-1)
    assert torch.allclose(pit_si_sdr(estimate, reference).double(), truth, atol=1e-4)


def test_scale_of_the_estimate_does_not_count() -> None:
    estimate, reference = signals()
    assert torch.allclose(
        training_si_sdr(7 * estimate, reference), training_si_sdr(estimate, reference), atol=1e-4
    )


def test_mixtures_beyond_the_clamp_give_no_gradient() -> None:
    estimate, reference = signals(2, 2)
    near = reference + 1e-3 * estimate  # the first far beyond 30 dB, the second not
    near[1] = estimate[1]
    near.requires_grad_(True)
    separation_loss(near, reference, clamp_db=30.0).backward()
    assert near.grad is not None
    assert near.grad[0].abs().max() == 0
    assert near.grad[1].abs().max() > 0


@pytest.mark.parametrize("silent", ["estimate", "reference", "both"])
def test_silence_has_a_finite_loss_and_gradient(silent: str) -> None:
    estimate, reference = signals(2, 2)
    if silent in ("estimate", "both"):
        estimate = torch.zeros_like(estimate)
    if silent in ("reference", "both"):
        reference = torch.zeros_like(reference)
    estimate.requires_grad_(True)
    loss = separation_loss(estimate, reference)
    loss.backward()
    assert loss.isfinite()
    assert estimate.grad is not None and estimate.grad.isfinite().all()


def test_half_precision_estimates_are_measured_in_single() -> None:
    estimate, reference = signals()
    loss = separation_loss(estimate.bfloat16(), reference)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(separation_loss(estimate, reference).item(), abs=0.05)
