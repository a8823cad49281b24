"""How close estimates are to their references: SI-SDR, and the order that matches them best.

Pure functions of `(estimate, reference)`: torch tensors or numpy arrays in, scores as float64
tensors out. SI-SDR is that of "SDR - half-baked or well done?" (Le Roux et al., 2019,
https://arxiv.org/abs/1811.02508, eq. 5), after the mean of both signals is removed.

What cannot be measured is said, not hidden: a silent reference gives `nan` (no scale of it explains
anything), a silent estimate of a sounding reference gives `-inf`, an exact one gives `inf`.
"""

import math
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sepcli.networks.layers.order import best_assignment

Signal: TypeAlias = Tensor | NDArray[np.floating]

# Stands in for scores without a number when orders are compared; beyond any true SI-SDR.
WORST_DB = 1e4


def si_sdr(estimate: Signal, reference: Signal, *, zero_mean: bool = True) -> Tensor:
    """Return the scale-invariant signal-to-distortion ratio [dB] of the last axis, `[...]`.

    Le Roux et al., 2019, https://arxiv.org/abs/1811.02508, eq. 5. A silent reference gives `nan`, a
    silent estimate `-inf`, an exact one `inf`.

    Args:
        estimate: Signals `[..., time]`.
        reference: True signals `[..., time]`; leading axes broadcast.
        zero_mean: Remove the mean of both first, as the literature does.

    Raises:
        ValueError: Estimate and reference have different lengths.
    """
    guess, truth = _pair(estimate, reference, zero_mean)
    energy = truth.square().sum(-1)
    explained = (guess * truth).sum(-1, keepdim=True) / energy.unsqueeze(-1) * truth
    ratio = explained.square().sum(-1) / (guess - explained).square().sum(-1)
    score = 10 * torch.log10(ratio)
    # A silent estimate makes 0 / 0 of the ratio; it explains nothing of a reference that sounds.
    silent_guess = guess.square().sum(-1) == 0
    score = torch.where(silent_guess & (energy > 0), torch.full_like(score, -math.inf), score)
    return torch.where(energy > 0, score, torch.full_like(score, math.nan))


def si_sdr_improvement(
    estimate: Signal, reference: Signal, mixture: Signal, *, zero_mean: bool = True
) -> Tensor:
    """Return the SI-SDR [dB] gained over the mixture itself as the estimate, `[...]`.

    Args:
        estimate: Signals `[..., speakers, time]`, already in the order of the references.
        reference: True signals `[..., speakers, time]`.
        mixture: What was separated, `[..., time]`.
        zero_mean: Remove the mean of all signals first.

    Raises:
        ValueError: Signals have different lengths.
    """
    baseline = _tensor(mixture).unsqueeze(-2)
    gained = si_sdr(estimate, reference, zero_mean=zero_mean)
    return gained - si_sdr(baseline, reference, zero_mean=zero_mean)


def pairwise_si_sdr(estimate: Signal, reference: Signal, *, zero_mean: bool = True) -> Tensor:
    """Return SI-SDR [dB] of every estimate and reference, `[..., estimates, references]`.

    Args:
        estimate: Signals `[..., estimates, time]`.
        reference: True signals `[..., references, time]`.
        zero_mean: Remove the mean of both first.

    Raises:
        ValueError: Estimates and references have different lengths.
    """
    guess, truth = _tensor(estimate), _tensor(reference)
    return si_sdr(guess.unsqueeze(-2), truth.unsqueeze(-3), zero_mean=zero_mean)


def best_order(scores: Signal) -> Tensor:
    """Return the best permutation: the estimate of each reference, `[..., references]` int64.

    It has the highest mean score. Where there are more estimates than references, some are left
    out. References whose scores are `nan` (silent ones) do not influence the choice.

    Args:
        scores: `[..., estimates, references]`, higher is better.

    Raises:
        ValueError: There are fewer estimates than references.
    """
    table = _tensor(scores).detach().to(torch.float64)
    num_estimates, num_references = table.shape[-2:]
    if num_estimates < num_references:
        raise ValueError(f"fewer estimates than references: {num_estimates} < {num_references}")
    table = torch.nan_to_num(table, nan=0.0, posinf=WORST_DB, neginf=-WORST_DB)
    return best_assignment(table)


def reorder(estimate: Signal, order: Tensor) -> Tensor:
    """Return the estimates in an order, as a tensor `[..., references, time]` of their own type.

    Args:
        estimate: Signals `[..., estimates, time]`.
        order: As `best_order` returns it, `[..., references]`.
    """
    if not isinstance(estimate, Tensor):
        native = estimate.dtype.newbyteorder("=")
        estimate = torch.from_numpy(np.array(estimate, native))
    index = order.unsqueeze(-1).expand(*order.shape, estimate.shape[-1])
    return torch.gather(estimate, -2, index.to(estimate.device))


def _tensor(signal: Signal) -> Tensor:
    """Return a signal as a tensor; of an array, in any order of bytes and memory, a copy."""
    return signal if isinstance(signal, Tensor) else torch.from_numpy(np.array(signal, np.float64))


def _pair(estimate: Signal, reference: Signal, zero_mean: bool) -> tuple[Tensor, Tensor]:
    """Both signals in float64, without their mean where asked for."""
    guess, truth = (_tensor(signal).to(torch.float64) for signal in (estimate, reference))
    if guess.shape[-1] != truth.shape[-1]:
        raise ValueError(f"lengths differ: {guess.shape[-1]} and {truth.shape[-1]}")
    if zero_mean:
        guess = guess - guess.mean(-1, keepdim=True)
        truth = truth - truth.mean(-1, keepdim=True)
    return guess, truth
