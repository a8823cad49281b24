"""The level of estimates relative to the mixture they come from."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]
Array64 = np.ndarray[Any, np.dtype[np.float64]]

RIDGE = 1e-5  # the prior decides only between estimates that are 50 dB alike
MIN_GAIN = 0.1  # of the common gain: no estimate is turned down by more than 20 dB
PIECE = 1 << 14  # samples that are worked on at once, so that they stay in the cache
UPSIDE_DOWN = -0.1  # correlation of an estimate with the mixture


def fit_levels(mixture: Array, estimates: Array) -> Array:
    """Return the gains with which the estimates best explain their mixture, `[speakers]`.

    Minimises over gains g ≥ MIN_GAIN · g₀, with g₀ the best gain that is common to all estimates s,

        ‖x − Σ gₖ sₖ‖² + RIDGE · Σ ‖sₖ‖² (gₖ − g₀)²

    Networks trained with SI-SDR give each estimate a scale of its own, and least squares finds it.
    Where it cannot, because one estimate is a copy of another, the second term keeps the balance
    the network gave: without it, a faint copy could be raised until it carries half the speech.

    Estimates that are hardly separated would get a gain below zero; the bound keeps them audible.
    SI-SDR is blind to polarity too, so networks may return some estimates upside down: the gains of
    these are negative, with the bound mirrored.

    Args:
        mixture: `[samples]`.
        estimates: `[speakers, samples]`; silent ones get the gain 1.
    """
    products = _products(estimates, mixture)
    correlation, likeness = products[:-1, :-1], products[:-1, -1]
    signs = _polarity(correlation, likeness, float(products[-1, -1]))
    correlation, likeness = signs * correlation * signs[:, np.newaxis], signs * likeness
    energy = correlation.diagonal()
    sounding = energy > 1e-12 * max(float(energy.max(initial=0.0)), 1e-12)
    total = float(correlation.sum())
    common = max(0.0, float(likeness.sum()) / total) if total > 0.0 else 0.0
    matrix = correlation.copy()
    matrix.flat[:: len(matrix) + 1] += RIDGE * energy
    least = MIN_GAIN * common * sounding
    wanted = likeness + RIDGE * energy * common - matrix @ least
    (free,) = sounding.nonzero()
    gains = np.where(sounding, least, 1.0)
    while free.size:  # leave what would be below the bound; ends, since `free` shrinks
        solved = np.linalg.solve(matrix[free][:, free], wanted[free])
        if (solved >= 0.0).all():
            gains[free] += solved
            break
        free = free[solved > 0.0]
    return (signs * gains).astype(np.float32)


def _products(estimates: Array, mixture: Array) -> Array64:
    """Return the products of all estimates and the mixture, the last, with each other.

    In double precision: single would be as coarse as the prior.
    """
    total = np.zeros((len(estimates) + 1, len(estimates) + 1))
    for start in range(0, len(mixture), PIECE):
        piece = slice(start, min(start + PIECE, len(mixture)))
        rows = np.empty((len(total), piece.stop - start))
        rows[:-1], rows[-1] = estimates[:, piece], mixture[piece]
        total += rows @ rows.copy().T  # of itself, numpy takes what is ten times slower here
    return total


def _polarity(correlation: Array64, likeness: Array64, mixture_energy: float) -> Array64:
    """Return -1 for estimates that are upside down, else 1, `[speakers]`.

    They are where both their correlation with the mixture and their part in it are negative. Either
    alone misleads: a faint voice may hold a loud one's leakage upside down, and of two estimates
    that are hardly separated one has a negative part.

    Args:
        correlation: Products of the estimates with each other, `[speakers, speakers]`.
        likeness: Their products with the mixture, `[speakers]`.
        mixture_energy: The mixture's product with itself.
    """
    energy = correlation.diagonal()
    suspects = likeness < UPSIDE_DOWN * np.sqrt(energy * mixture_energy)
    if not suspects.any():
        return np.ones(len(energy))
    ridge = np.diag(RIDGE * energy + 1e-12 * max(float(energy.max()), 1e-12))
    part = np.linalg.solve(correlation + ridge, likeness)
    return np.where(suspects & (part < 0.0), -1.0, 1.0)
