"""Pauses, which no network hears: where they are, and back again.

    recording   ──speech──________________──speech──speech──________
    heard       ──speech──__──speech──speech──__

Networks that know whole utterances do worse where nobody speaks for seconds, because they norm over
all that they hear. So of a long pause only its ends are heard, next to each other. Estimates are
silent in between.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sepcli.separation.chunking import FRAME_SECONDS, Energy

Array = np.ndarray[Any, np.dtype[np.float32]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]

SILENT_BELOW_PEAK_DB = 40.0  # 5 dB below what counts as speech
KEPT_SECONDS = 0.2  # of a pause, at each end
LEAST_SECONDS = 0.2  # less than this is not worth a cut
BLOCK_SAMPLES = 1 << 16  # of a pause, given back at once


@dataclass(frozen=True)
class Heard:
    """What the network hears of a recording: parts of it, one after the other.

    Attributes:
        starts: First sample of each part, `[parts]`.
        stops: The sample after the last of each, `[parts]`.
        total: Length of the recording in samples.
        energy: How loud it is along what is heard.
    """

    starts: IntArray
    stops: IntArray
    total: int
    energy: Energy

    @property
    def num_samples(self) -> int:
        """Length of what is heard."""
        return int((self.stops - self.starts).sum())

    @cached_property
    def _places(self) -> IntArray:
        """Where each part begins in what is heard, and where the last one ends, `[parts + 1]`."""
        return np.concatenate([[0], np.cumsum(self.stops - self.starts)])

    def in_recording(self, place: int) -> int:
        """Return where in the recording a place is; the end of a part, not the next one's start."""
        part = max(0, int(np.searchsorted(self._places, place)) - 1)
        return int(self.starts[part] + place - self._places[part])

    def read(self, read: Callable[[int, int], Array], start: int, length: int) -> Array:
        """Return samples of what is heard.

        Args:
            read: Returns samples of the recording, from a start on, so many.
            start: First sample wanted.
            length: How many.
        """
        places = self._places
        first = int(np.searchsorted(places, start, "right")) - 1
        pieces = []
        for part in range(first, len(self.starts)):
            begin = max(start, int(places[part]))
            stop = min(start + length, int(places[part + 1]))
            if begin >= stop:
                break
            pieces.append(read(int(self.starts[part] + begin - places[part]), stop - begin))
        return np.concatenate(pieces)

    def spread(self, blocks: Iterator[Array], num_rows: int) -> Iterator[Array]:
        """Yield blocks of what is heard with zeros where the recording pauses, `[rows, samples]`.

        Args:
            blocks: Of what is heard, `[rows, samples]`.
            num_rows: How many rows they have.
        """
        position, part = 0, 0  # in the recording
        for block in blocks:
            while block.shape[1]:
                yield from _silence(num_rows, int(self.starts[part]) - position)
                position = max(position, int(self.starts[part]))
                taken = block[:, : self.stops[part] - position]
                yield taken
                position += taken.shape[1]
                block = block[:, taken.shape[1] :]
                part += int(position == self.stops[part])
        yield from _silence(num_rows, self.total - position)


def _silence(num_rows: int, num_samples: int) -> Iterator[Array]:
    for start in range(0, num_samples, BLOCK_SAMPLES):
        yield np.zeros((num_rows, min(BLOCK_SAMPLES, num_samples - start)), np.float32)


def leave_out_pauses(energy: Energy, total: int) -> Heard:
    """Return what of a recording is worth hearing.

    Args:
        energy: How loud the recording is along time.
        total: Its length in samples.
    """
    is_heard = _without_long_pauses(energy.active(SILENT_BELOW_PEAK_DB))
    edges = np.flatnonzero(np.diff(is_heard, prepend=False, append=False))
    starts, stops = edges[::2] * energy.frame, np.minimum(edges[1::2] * energy.frame, total)
    return Heard(starts, stops, total, Energy(energy.levels[is_heard], energy.frame))


def _without_long_pauses(sounds: Mask) -> Mask:
    """Return which frames are heard, `[frames]`.

    Args:
        sounds: In which frames there is sound, `[frames]`.
    """
    kept, least = round(KEPT_SECONDS / FRAME_SECONDS), round(LEAST_SECONDS / FRAME_SECONDS)
    places = np.flatnonzero(sounds)
    is_heard = np.ones(len(sounds), np.bool_)
    if not places.size:  # fainter than levels tell, or silence
        return is_heard
    begins = np.concatenate([[0], places + 1 + kept])  # of what may be left out between sounds
    ends = np.concatenate([places - kept, [len(sounds)]])
    is_long = ends - begins >= least
    for begin, end in zip(begins[is_long], ends[is_long], strict=True):
        is_heard[begin:end] = False
    return is_heard
