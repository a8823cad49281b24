"""What training minimises: negative SNR of the best order of speakers, with a threshold.

Utterance-level permutation-invariant training (Kolbaek et al., 2017,
https://arxiv.org/abs/1703.06284) on the signal-to-noise ratio with a soft threshold (Wisdom et
al., 2020, https://arxiv.org/abs/2006.12701, eq. 2). Unlike SI-SDR it is defined where a reference
is silent, and it fixes level and polarity of the estimates.
"""

import torch
from torch import Tensor

from sepcli.evaluation.metrics import best_order, reorder

# Power below which a reference is silent, and which keeps logarithms finite: −90 dB of full scale,
# the rounding of 16-bit recordings.
SILENT_POWER = 1e-9


def thresholded_snr(
    estimate: Tensor, reference: Tensor, mixture: Tensor, *, threshold_db: float = 30.0
) -> Tensor:
    """SNR `[...]` [dB] of the last axis, never above `threshold_db`, finite everywhere.

    For a silent reference it is the level of the mixture over the estimate: the estimate is to be
    silent as well.

    Args:
        estimate: `[..., time]`.
        reference: `[..., time]`, which may be silent.
        mixture: `[..., time]`, what silence is measured by.
        threshold_db: Where the gain from doing better ends.
    """
    power = reference.square().mean(-1)
    whole = torch.where(power > SILENT_POWER, power, mixture.square().mean(-1)) + SILENT_POWER
    error = (estimate - reference).square().mean(-1)
    # With the error at the threshold, half of it is left to gain: 3 dB.
    return -10 * (error / whole + 10 ** (-threshold_db / 10)).log10()


def pit_snr(
    estimate: Tensor, reference: Tensor, mixture: Tensor, *, threshold_db: float = 30.0
) -> Tensor:
    """Mean thresholded SNR over the speakers in their best order, `[batch]` [dB].

    Args:
        estimate: `[batch, speakers, time]`, any order.
        reference: `[batch, speakers, time]`.
        mixture: `[batch, time]`.
        threshold_db: As in `thresholded_snr`.
    """
    whole = mixture.unsqueeze(1)
    with torch.no_grad():
        scores = thresholded_snr(
            estimate.unsqueeze(2),
            reference.unsqueeze(1),
            whole.unsqueeze(1),
            threshold_db=threshold_db,
        )
        order = best_order(scores)
    ordered = reorder(estimate, order)
    return thresholded_snr(ordered, reference, whole, threshold_db=threshold_db).mean(-1)
