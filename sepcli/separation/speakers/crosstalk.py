"""Takes leakage out of estimates: the faint copy of one speaker in the estimate of another."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]
Spectra = np.ndarray[Any, np.dtype[np.complex64]]

WINDOW_SECONDS = 0.064  # leaked voices are filtered: many narrow bands follow that
NUM_BANDS, NUM_FRAMES = 5, 3  # taken together: 78 Hz and 128 ms, short enough for pauses
WEAKER_RATIO = 10.0**-0.6  # only what is 6 dB below the strongest estimate can be its copy
SURELY_OWN, SURELY_COPY = 0.3, 0.6  # share of the power that the strongest estimate explains
SMALLEST_POWER = np.float32(1e-20)


def remove_leakage(estimates: Array, sample_rate: int) -> Array:
    """Return estimates without copies of each other, `[speakers, samples]`; their sum stays.

    Around each point of the spectrogram the strongest estimate s is taken to be right. What it
    explains of a weaker one w, the projection `c s` with `c = ⟨w, s⟩ / ⟨s, s⟩`, is a copy if it
    makes up most of w. It is then moved back to where it came from: `w - c s` and `s + c s`.
    Voices that do speak at the same time explain little of each other and stay as they are.

    Args:
        estimates: Of one chunk, at their true level, `[speakers, samples]`.
        sample_rate: Their rate [Hz].
    """
    num_speakers, num_samples = estimates.shape
    half = max(1, round(WINDOW_SECONDS * sample_rate / 2))
    if num_speakers < 2 or num_samples < 2 * half:
        return estimates.copy()
    spectra = _spectra(estimates, half)
    power = np.stack([_smooth(np.square(s.real) + np.square(s.imag)) for s in spectra])
    power += SMALLEST_POWER
    strongest = power == power.max(axis=0)
    moved = np.zeros_like(spectra)
    for strong in range(num_speakers):
        for weak in range(num_speakers):
            candidates = strongest[strong] & (power[weak] < WEAKER_RATIO * power[strong])
            if weak == strong or not candidates.any():
                continue
            product = _smooth(spectra[weak] * spectra[strong].conj())
            copied = product / power[strong]
            explained = (np.square(product.real) + np.square(product.imag)) / (
                power[weak] * power[strong]
            )
            trust = np.clip((explained - SURELY_OWN) / (SURELY_COPY - SURELY_OWN), 0.0, 1.0)
            copy = candidates * trust * copied * spectra[strong]
            moved[weak] -= copy
            moved[strong] += copy
    changes = [_waveform(each, num_samples) for each in moved[1:]]
    return np.asarray(estimates + np.stack([-np.sum(changes, axis=0), *changes]), dtype=np.float32)


def _taper(half: int) -> Array:
    """Return a window whose square and its shift by half sum to one, `[samples]`."""
    return np.sin(np.pi * (np.arange(2 * half) + 0.5) / (2 * half)).astype(np.float32)


def _spectra(signals: Array, half: int) -> Spectra:
    """Return short-time spectra, `[speakers, frames, bins]`."""
    num_frames = -(-signals.shape[1] // half) + 1
    padded = np.pad(signals, ((0, 0), (half, num_frames * half - signals.shape[1])))
    pieces = padded.reshape(len(signals), num_frames + 1, half)
    frames = np.concatenate([pieces[:, :-1], pieces[:, 1:]], axis=2)
    return np.asarray(np.fft.rfft(frames * _taper(half)), dtype=np.complex64)


def _waveform(spectra: Spectra, num_samples: int) -> Array:
    """Return the waveform of short-time spectra, `[frames, bins]` → `[samples]`."""
    half = spectra.shape[1] - 1
    frames = np.fft.irfft(spectra) * _taper(half)
    joined = frames[:-1, half:] + frames[1:, :half]
    return np.asarray(joined.ravel()[:num_samples], dtype=np.float32)


def _smooth(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return sums over `NUM_FRAMES` frames and `NUM_BANDS` bins around each, `[frames, bins]`."""
    from scipy.ndimage import convolve1d  # few remove leakage, and it takes a while to import

    for axis, width in ((0, NUM_FRAMES), (1, NUM_BANDS)):
        values = convolve1d(values, np.ones(width), axis, mode="constant")
    return values
