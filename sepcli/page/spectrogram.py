"""Waveform → levels over time and frequency, in as many columns as a picture has; pure."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]
Shades = np.ndarray[Any, np.dtype[np.uint8]]

MOST_COLUMNS = 2000
COLUMNS_A_SECOND = 50  # of short recordings
NUM_ROWS = 64
WINDOW = 256  # samples; at 12 kHz 21 ms
FRAMES_A_COLUMN = 8  # heard at most; a column of an hour is two seconds long
RANGE_DB = 60.0
SMALLEST_POWER = 1e-12


class Spectrogram:
    """Collects the spectrogram of a waveform that comes in blocks.

    Args:
        num_samples: How long the waveform is.
        rate: Its sample rate [Hz].
    """

    def __init__(self, num_samples: int, rate: int) -> None:
        wanted = -(-num_samples * COLUMNS_A_SECOND // rate)
        num_columns = max(1, min(MOST_COLUMNS, wanted))
        self._column = max(num_samples, 1) / num_columns  # samples
        self._hop = max(WINDOW // 2, int(self._column / FRAMES_A_COLUMN))
        self._window = np.hanning(WINDOW).astype(np.float32)
        self._power = np.zeros((NUM_ROWS, num_columns))
        self._counts = np.zeros(num_columns)
        self._held = np.zeros(WINDOW // 2, np.float32)  # frames stand around their middle
        self._next = 0  # where in it the next frame begins
        self._num_frames = 0

    def add(self, block: Array) -> None:
        """Take the next samples, `[samples]`."""
        held = np.concatenate([self._held, block])
        count = max(0, (len(held) - WINDOW - self._next) // self._hop + 1)
        starts = self._next + self._hop * np.arange(count)
        if count:
            frames = held[starts[:, np.newaxis] + np.arange(WINDOW)]
            clear = np.diff(frames, prepend=frames[:, :1]) * self._window  # + 6 dB an octave
            spectrum = np.square(np.abs(np.fft.rfft(clear)))[:, : WINDOW // 2]
            rows = spectrum.reshape(count, NUM_ROWS, -1).sum(axis=2)
            middles = (self._num_frames + np.arange(count)) * self._hop
            columns = np.minimum(middles / self._column, self._power.shape[1] - 1).astype(int)
            np.add.at(self._power.T, columns, rows)
            np.add.at(self._counts, columns, 1)
        self._num_frames += count
        self._next += count * self._hop
        kept = min(self._next, len(held))
        self._held, self._next = held[kept:], self._next - kept

    def power(self) -> Array:
        """Return the mean power, `[rows, columns]`, from low to high frequencies."""
        mean = self._power / np.maximum(self._counts, 1)
        scaled: Array = (mean / np.square(self._window.sum())).astype(np.float32)
        return scaled


def without_empty_top(pictures: Sequence[Shades]) -> list[Shades]:
    """Return pictures without the high frequencies at which none of them shows anything."""
    seen = np.flatnonzero(np.any([picture.any(axis=1) for picture in pictures], axis=0))
    num_rows = int(seen[-1]) + 1 if seen.size else NUM_ROWS
    return [picture[:num_rows] for picture in pictures]


def shades(power: Array, loudest: float, count: int) -> Shades:
    """Return power as one of `count` shades, 0 for what is far below the loudest.

    Args:
        power: `[rows, columns]`.
        loudest: Power that gets the last shade; of all waveforms that are to be compared.
        count: How many shades there are.
    """
    decibels = 10 * np.log10((power + SMALLEST_POWER) / (loudest + SMALLEST_POWER))
    places = np.rint((decibels / RANGE_DB + 1) * (count - 1))
    found: Shades = np.clip(places, 0, count - 1).astype(np.uint8)
    return found
