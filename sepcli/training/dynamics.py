"""Voices through a compressor, as telephones, conferences, podcasts and broadcasts put them.

What is soft is heard as well as what is loud, so two voices leave each other fewer gaps.
Giannoulis, Massberg, Reiss, "Digital dynamic range compressor design", Journal of the Audio
Engineering Society 60(6), 2012, section 2.2: a static curve with a threshold and a ratio, its
level smoothed over time.
"""

import numpy as np
from scipy.signal import lfilter

from sepcli.training.dataset import Generator, Waveform
from sepcli.training.recipe import DataRecipe

THRESHOLD_DB = (-30.0, -5.0)  # over the power of the voice
RATIO = (1.5, 8.0)
SMOOTH_SECONDS = (0.005, 0.1)
FLOOR = 1e-10


def draw_compressors(
    sources: Waveform, recipe: DataRecipe, sample_rate: int, rng: Generator
) -> Waveform:
    """Return sources `[speakers, time]`, in some mixtures each through a compressor of its own.

    Args:
        sources: One a speaker.
        recipe: Its `compressed_share`.
        sample_rate: Of the sources [Hz].
        rng: The only source of randomness.
    """
    if recipe.compressed_share == 0 or rng.random() >= recipe.compressed_share:
        return sources
    return np.stack(
        [
            compressed(
                row,
                threshold_db=rng.uniform(*THRESHOLD_DB),
                ratio=_log_uniform(RATIO, rng),
                smooth_samples=_log_uniform(SMOOTH_SECONDS, rng) * sample_rate,
            )
            for row in sources
        ]
    )


def compressed(
    voice: Waveform, *, threshold_db: float, ratio: float, smooth_samples: float
) -> Waveform:
    """Return a voice `[samples]` whose level above a threshold rises by less.

    Args:
        voice: What is compressed.
        threshold_db: Over the power of the voice [dB].
        ratio: Decibels that come in for one that goes out, above the threshold.
        smooth_samples: Time constant of the level [samples].
    """
    power = np.square(voice, dtype=np.float64)
    kept = np.exp(-1 / smooth_samples)
    level = lfilter([1 - kept], [1, -kept], power)  # of the past
    threshold = (power.mean() + FLOOR) * 10 ** (threshold_db / 10)
    gain = np.maximum(level / threshold, 1.0) ** ((1 / ratio - 1) / 2)
    softer: Waveform = (voice * gain).astype(np.float32)
    return softer


def _log_uniform(bounds: tuple[float, float], rng: Generator) -> float:
    """Return a number whose logarithm is drawn evenly."""
    return float(np.exp(rng.uniform(*np.log(bounds))))
