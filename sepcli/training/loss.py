"""What training minimises: negative SI-SDR of the best order of speakers, clamped.

Utterance-level permutation-invariant training (Kolbaek et al., 2017,
https://arxiv.org/abs/1703.06284) on SI-SDR (Le Roux et al., 2019, eq. 5).
"""

import torch
from torch import Tensor

from sepcli.evaluation.metrics import best_order, reorder

# Keeps the logarithm and its gradient finite for silent references; far below any speech.
ENERGY_FLOOR = 1e-8


def training_si_sdr(estimate: Tensor, reference: Tensor) -> Tensor:
    """SI-SDR `[...]` [dB] of the last axis with a finite gradient everywhere.

    Unlike `metrics.si_sdr` it stays in the signals' own precision and floors all energies.
    """
    guess = estimate - estimate.mean(-1, keepdim=True)
    truth = reference - reference.mean(-1, keepdim=True)
    energy = truth.square().sum(-1, keepdim=True) + ENERGY_FLOOR
    explained = (guess * truth).sum(-1, keepdim=True) / energy * truth
    signal = explained.square().sum(-1) + ENERGY_FLOOR
    error = (guess - explained).square().sum(-1) + ENERGY_FLOOR
    return 10 * (signal / error).log10()


def pit_si_sdr(estimate: Tensor, reference: Tensor) -> Tensor:
    """Mean SI-SDR over the speakers in their best order, `[batch]` [dB].

    Args:
        estimate: `[batch, speakers, time]`, any order.
        reference: `[batch, speakers, time]`.
    """
    with torch.no_grad():
        scores = training_si_sdr(estimate.unsqueeze(2), reference.unsqueeze(1))
        order = best_order(scores)
    return training_si_sdr(reorder(estimate, order), reference).mean(-1)


def separation_loss(estimate: Tensor, reference: Tensor, *, clamp_db: float = 30.0) -> Tensor:
    """Negative mean SI-SDR of a batch [dB]; mixtures beyond `clamp_db` give no gradient.

    Without the clamp the easiest mixtures, whose gradients are the steepest, rule a batch.
    """
    return -pit_si_sdr(estimate.float(), reference.float()).clamp(max=clamp_db).mean()
