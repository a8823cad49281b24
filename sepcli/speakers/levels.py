"""The level of estimates relative to the mixture they come from."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]

RIDGE = 1e-5  # the prior decides only between estimates that are 50 dB alike
UPSIDE_DOWN = -0.1  # correlation of all estimates together with the mixture


def fit_levels(mixture: Array, estimates: Array) -> Array:
    """Return the gains with which the estimates best explain their mixture, `[speakers]`.

    Minimises over gains g of one sign, with g₀ the best gain that is common to all estimates s,

        ‖x − Σ gₖ sₖ‖² + RIDGE · Σ ‖sₖ‖² (gₖ − g₀)²

    Networks trained with SI-SDR give each estimate a scale of its own, and least squares finds it.
    Where it cannot, because one estimate is a copy of another, the second term keeps the balance
    the network gave: without it, a faint copy could be raised until it carries half the speech.

    SI-SDR is blind to polarity too, so some networks return everything upside down. Then, and only
    then, the gains are negative: all of them.

    Args:
        mixture: `[samples]`.
        estimates: `[speakers, samples]`; silent ones get the gain 1.
    """
    exact = estimates.astype(np.float64)  # single precision would be as coarse as the prior
    whole = mixture.astype(np.float64)
    together = exact.sum(axis=0)
    most = np.sqrt((together @ together) * (whole @ whole))
    sign = -1.0 if float(together @ whole) < UPSIDE_DOWN * most else 1.0
    correlation = exact @ exact.T
    likeness = sign * (exact @ whole)
    energy = np.diag(correlation).copy()
    sounding = energy > 1e-12 * max(float(energy.max(initial=0.0)), 1e-12)
    gains = np.ones(len(estimates))
    total = float(correlation.sum())
    common = max(0.0, float(likeness.sum()) / total) if total > 0.0 else 0.0
    matrix = correlation + np.diag(RIDGE * energy)
    wanted = likeness + RIDGE * energy * common
    free = np.flatnonzero(sounding)
    gains[free] = 0.0
    while free.size:  # drop what would be negative; ends, since `free` shrinks
        solved = np.linalg.solve(matrix[np.ix_(free, free)], wanted[free])
        if (solved >= 0.0).all():
            gains[free] = solved
            break
        free = free[solved > 0.0]
    return (sign * gains).astype(np.float32)
