"""What a recording is like, measured while it is read: peak without clicks, rumble, a call or not.

Networks were trained on speech, which has nothing below 70 Hz. Hum of the mains, rumble, wind and
DC lie there: they cost a network several dB, and the fit of levels explains them by speakers. They
are taken out of what both of them hear, in recordings that have enough of it to matter.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray[Any, np.dtype[np.float32]]
Read = Callable[[int, int], Array]  # start, length → samples

CORNER_HZ = 70.0
STEEPNESS = 16  # of the response 1 / (1 + (corner / f)^16): 0.98 at 90 Hz, 0.005 at 50 Hz
RUMBLE_SHARE = 0.03  # of the power; of clean speech it is 0.001, of white noise at 8 kHz 0.018
RUMBLE_BELOW_RESPONSE = 1 - 5e-5  # where the response is higher, less than 1e-4 is rumble
MIN_SECONDS_TO_TELL_RUMBLE = 0.5
SPECTRUM_SECONDS = 0.25
MARGIN_SECONDS = 0.25  # after which the filter has forgotten what it saw

FRAME_SECONDS = 0.02
CLICK_FRAMES = 5  # no click is longer, and as long around it all is
CLICK_RATIO = 4.0  # times quieter
FRAMES_OF_CLICKS, SHARE_OF_CLICKS = 5, 2000  # clicks may be in 5 frames, and 1 in 2000
SHORT_SHARE = 50  # and in no more than 1 in 50

CALL_FRAME_SECONDS = 0.1
CALL_RATE = 4000  # samples a second that are looked at, as they come: power needs no more
STEP_DB, NUM_STEPS = 2.0, 64  # of the levels of a call's channels, down from full scale
LOUD_SHARE = 0.05  # of the frames: as loud as these is a channel whose speaker speaks
ACTIVE_STEPS, QUIET_STEPS = 5, 8  # below that level: speaking, and not speaking
MIN_SECONDS_TO_TELL_CALLS = 10.0
MOST_CORRELATION = 0.1
MOST_TOGETHER = 0.3  # of the time in which one speaks alone


class PeakMeter:
    """Measures how loud a recording gets, block by block; of each 20 ms one number is kept.

    Attributes:
        lowest: The smallest value.
        highest: The largest value.
    """

    def __init__(self, sample_rate: int) -> None:
        self.lowest, self.highest = np.inf, -np.inf
        self._frame = max(1, round(FRAME_SECONDS * sample_rate))
        self._peaks: list[Array] = []
        self._unmeasured: Array = np.zeros(0, np.float32)  # less than a frame

    def add(self, block: Array) -> None:
        """Hear the next samples, `[samples]`."""
        self.lowest = min(self.lowest, float(block.min(initial=np.inf)))
        self.highest = max(self.highest, float(block.max(initial=-np.inf)))
        held = np.concatenate([self._unmeasured, block])
        whole = len(held) // self._frame * self._frame
        self._peaks.append(np.abs(held[:whole]).reshape(-1, self._frame).max(axis=1))
        self._unmeasured = held[whole:]

    @property
    def peak(self) -> float:
        """The largest magnitude."""
        return max(0.0, self.highest, -self.lowest)

    @property
    def is_silent(self) -> bool:
        """Whether nothing can be heard: one value all along, as A-law has none for zero."""
        return self.highest <= self.lowest

    @property
    def usual_peak(self) -> float:
        """The largest magnitude, without that of a few clicks."""
        rest = np.abs(self._unmeasured).max(initial=0.0, keepdims=True)
        peaks = np.concatenate([*self._peaks, rest])
        ignored = min(len(peaks) // SHORT_SHARE, FRAMES_OF_CLICKS + len(peaks) // SHARE_OF_CLICKS)
        may_be_clicks = _stand_alone(peaks)
        clicks = np.sort(peaks[may_be_clicks])
        usual = np.concatenate([peaks[~may_be_clicks], clicks[: max(0, len(clicks) - ignored)]])
        return float(usual.max(initial=0.0)) or self.peak


class RumbleMeter:
    """Tells whether a mixture has hum, rumble or DC, block by block, in constant memory."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._power = self._rumble = 0.0
        self._num_samples = 0
        self._unheard: list[Array] = []  # what is too short yet

    def add(self, block: Array) -> None:
        """Hear the next samples, `[samples]`."""
        self._num_samples += len(block)
        self._unheard.append(block)
        if self._num_samples >= MIN_SECONDS_TO_TELL_RUMBLE * self._rate:
            heard = np.concatenate(self._unheard)
            length = round(SPECTRUM_SECONDS * self._rate)
            whole = len(heard) // length * length
            self._add_spectra(heard[:whole].reshape(-1, length))
            self._unheard = [heard[whole:]]

    def _add_spectra(self, frames: Array) -> None:
        """Add the power of frames, `[frames, samples]`."""
        length = frames.shape[1]
        low = frames @ _low_waves(length, self._rate)
        power = np.einsum("fk,fk->k", low, low).reshape(-1, 2).sum(axis=1)
        response = high_pass_response(length, self._rate)[: len(power)]
        self._rumble += float((power * (1 - response**2)).sum())
        # by Parseval's theorem; of a real signal's spectrum one half and all of DC are counted
        windowed = np.einsum("fs,fs->s", frames, frames) @ np.square(_window(length))
        self._power += (length * float(windowed) + float(power[0])) / 2

    @property
    def rumble_share(self) -> float:
        """The share of the power that lies below speech; 0 of silence and of what is too short."""
        return self._rumble / self._power if self._power else 0.0

    @property
    def has_rumble(self) -> bool:
        """Whether more lies below speech than speech itself would have."""
        return self.rumble_share > RUMBLE_SHARE


def _stand_alone(peaks: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which frames are of something short and loud with quiet before and after it.

    Args:
        peaks: Of each frame, `[frames]`.
    """
    around = 2 * CLICK_FRAMES - 1
    padded = np.pad(peaks, around)
    # the loudest of as many frames as a click may have, from each frame on
    runs = sliding_window_view(padded, CLICK_FRAMES).max(axis=1)
    num_frames, quietest = len(peaks), np.full(len(peaks), np.inf, np.float32)
    for start in range(around - CLICK_FRAMES + 1, around + 1):  # of a click that holds the frame
        before = runs[start - CLICK_FRAMES :][:num_frames]
        after = runs[start + CLICK_FRAMES :][:num_frames]
        quietest = np.minimum(quietest, np.maximum(before, after))
    return peaks > CLICK_RATIO * quietest


@lru_cache(8)
def _window(length: int) -> Array:
    """Return a Hann window of `length` samples."""
    return np.hanning(length).astype(np.float32)


@lru_cache(8)
def _low_waves(length: int, sample_rate: int) -> Array:
    """Return windowed cosines and sines that rumble is found by, `[samples, 2 * frequencies]`.

    They are those of the Fourier transform, as far up as more than a ten-thousandth is rumble.
    """
    num_low = np.count_nonzero(high_pass_response(length, sample_rate) < RUMBLE_BELOW_RESPONSE)
    turns = np.outer(np.arange(length), np.arange(num_low)) % length / length
    waves = np.exp(2j * np.pi * turns) * _window(length)[:, np.newaxis]
    return np.asarray(waves.astype(np.complex64).view(np.float32))


@lru_cache(8)
def high_pass_response(length: int, sample_rate: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the gain at each frequency of a real spectrum of `length` samples."""
    frequencies = np.fft.rfftfreq(length, 1 / sample_rate)
    with np.errstate(divide="ignore", over="ignore"):
        response: np.ndarray[Any, np.dtype[np.float64]] = 1 / (
            1 + (CORNER_HZ / frequencies) ** STEEPNESS
        )
    return response


def without_rumble(read: Read, start: int, length: int, total: int, sample_rate: int) -> Array:
    """Return a part of a mixture without what lies below speech, delayed by nothing.

    The filter has no phase and sees a margin on both sides, so that the same sample is the same in
    all parts it is in. Beyond the recording's ends it sees the recording turned over.

    Args:
        read: Returns samples of the mixture.
        start: First sample wanted.
        length: How many.
        total: Samples of the whole mixture.
        sample_rate: In Hz.
    """
    margin = round(MARGIN_SECONDS * sample_rate)
    begin, stop = max(0, start - margin), min(total, start + length + margin)
    part = read(begin, stop - begin).astype(np.float64)
    before = margin - (start - begin)
    after = margin - (stop - start - length)
    part = np.pad(part, (before, after), mode="reflect", reflect_type="odd")
    size = len(part) + -len(part) % 1024  # lengths of large primes take long
    padded = np.pad(part, (0, size - len(part)), mode="edge")
    spectrum = np.fft.rfft(padded) * high_pass_response(size, sample_rate)
    return np.fft.irfft(spectrum, size)[margin : margin + length].astype(np.float32)


class CallMeter:
    """Tells whether two channels hold one speaker each, as those of a telephone call do."""

    def __init__(self, sample_rate: int) -> None:
        self._step = max(1, sample_rate // CALL_RATE)
        self._frame = max(1, round(CALL_FRAME_SECONDS * sample_rate / self._step))
        self._counts = np.zeros((NUM_STEPS, NUM_STEPS), np.int64)  # level of the one, of the other
        self._products = np.zeros((2, 2))

    def add(self, block: Array) -> None:
        """Hear the next samples, `[samples, 2]`."""
        few = block[:: self._step].astype(np.float64)
        few = few[: len(few) // self._frame * self._frame]
        frames = few.reshape(-1, self._frame, 2)
        power = np.square(frames).mean(axis=1)
        steps = (10 * np.log10(np.maximum(power, 1e-20)) / STEP_DB + NUM_STEPS - 1).astype(np.int64)
        steps = np.clip(steps, 0, NUM_STEPS - 1)
        np.add.at(self._counts, (steps[:, 0], steps[:, 1]), 1)
        self._products += few.T @ few

    @property
    def is_call(self) -> bool:
        """Whether the channels have nothing in common, and mostly one of them speaks at a time."""
        total = int(self._counts.sum())
        energies = np.diag(self._products)
        if total * CALL_FRAME_SECONDS < MIN_SECONDS_TO_TELL_CALLS or not energies.all():
            return False
        correlation = abs(self._products[0, 1]) / np.sqrt(energies.prod())
        speaks, is_quiet = [], []
        for axis in (1, 0):
            at_least = np.cumsum(self._counts.sum(axis=axis)[::-1])[::-1]
            loud = int(np.flatnonzero(at_least >= LOUD_SHARE * total).max())
            speaks.append(np.arange(NUM_STEPS) >= loud - ACTIVE_STEPS)
            is_quiet.append(np.arange(NUM_STEPS) < loud - QUIET_STEPS)
        first = int(self._counts[np.ix_(speaks[0], is_quiet[1])].sum())
        second = int(self._counts[np.ix_(is_quiet[0], speaks[1])].sum())
        together = int(self._counts[np.ix_(speaks[0], speaks[1])].sum())
        takes_turns = min(first, second) >= LOUD_SHARE * total
        is_alone = together <= MOST_TOGETHER * (first + second)
        return bool(correlation < MOST_CORRELATION and takes_turns and is_alone)
