"""The long-term spectra of speakers, made alike or changed at random.

Recordings of different corpora differ by their microphones too, and a network may learn to tell
speakers by these; one recording of both does not offer that.
"""

import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve

from sepcli.training.dataset import Generator, Waveform
from sepcli.training.recipe import DataRecipe

Spectra = npt.NDArray[np.float64]

WINDOW = 512  # of spectra and filters [samples]
SMOOTH_BINS = 9
MOST_DB = 20.0  # that a filter raises or lowers
SPREAD_DB = 4.0  # standard deviation of a random filter at its nodes
NODES = (0.0, 0.016, 0.04, 0.086, 0.19, 0.39, 0.7, 1.0)  # parts of the band, closer at the bottom
FLOOR = 1e-9


def draw_colours(sources: Waveform, recipe: DataRecipe, rng: Generator) -> Waveform:
    """Return sources `[speakers, time]`, in some mixtures filtered to be alike, in some at random.

    Args:
        sources: At least one window long, or they stay as they are.
        recipe: Its `alike_share` and `colour_share`.
        rng: The only source of randomness.
    """
    if recipe.alike_share + recipe.colour_share == 0 or sources.shape[1] < WINDOW:
        return sources
    kind = rng.random()
    if kind < recipe.alike_share:
        levels = long_term_levels(sources)
        return filtered(sources, levels.mean(0) - levels)
    if kind < recipe.alike_share + recipe.colour_share:
        nodes = rng.normal(0.0, SPREAD_DB, (len(sources), len(NODES)))
        bins = np.linspace(0.0, 1.0, WINDOW // 2 + 1)
        return filtered(sources, np.stack([np.interp(bins, NODES, row) for row in nodes]))
    return sources


def long_term_levels(sources: Waveform) -> Spectra:
    """Return the smoothed mean power of each bin [dB], `[speakers, bins]`."""
    whole = sources.shape[1] // WINDOW * WINDOW
    frames = sources[:, :whole].reshape(len(sources), -1, WINDOW) * np.hanning(WINDOW)
    power = np.square(np.abs(np.fft.rfft(frames))).mean(1) + FLOOR
    levels = np.pad(10 * np.log10(power), ((0, 0), (SMOOTH_BINS // 2,) * 2), "edge")
    window = np.ones(SMOOTH_BINS) / SMOOTH_BINS
    return np.stack([np.convolve(row, window, "valid") for row in levels])


def filtered(sources: Waveform, gains_db: Spectra) -> Waveform:
    """Return sources `[speakers, time]` after filters of these gains `[speakers, bins]`.

    Filters delay nothing: they are symmetric about their middle.
    """
    gains = 10 ** (np.clip(gains_db, -MOST_DB, MOST_DB) / 20)
    responses = np.roll(np.fft.irfft(gains), WINDOW // 2, axis=-1) * np.hanning(WINDOW + 1)[:-1]
    heard = [
        fftconvolve(row, response)[WINDOW // 2 :][: len(row)]
        for row, response in zip(sources, responses, strict=True)
    ]
    return np.stack(heard).astype(np.float32)
