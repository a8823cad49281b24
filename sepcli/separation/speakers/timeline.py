"""What is heard along a whole recording: levels every 10 ms, and voices in windows that slide.

Ten hours of two outputs: levels are 11 MB, which stay in memory; voices are 41 MB, which do not.
"""

from array import array
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sepcli.separation.chunking import FLOOR_DB, STEP_DB, levels_of
from sepcli.separation.speakers.evidence import Embed, embed_windows
from sepcli.separation.speakers.turns import Mask, runs

Array = np.ndarray[Any, np.dtype[np.float32]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]

FRAMES_A_SECOND = 100
FRAME_SECONDS = 1 / FRAMES_A_SECOND
MIXTURE, OUTPUTS = slice(0, 1), slice(1, None)  # rows of the levels
WINDOW_SECONDS, HOP_SECONDS = 1.5, 0.5  # shorter windows tell voices worse, longer ones turns
MIN_WINDOW_SECONDS = 0.5  # a recording of less has no voices
# Outputs this much weaker than another hold nothing to listen to: leakage, or what a mask leaves.
# Nearer ones may be somebody: without them decisions change.
WEAK_DB = 15.0
FRAMES_AT_ONCE = 1 << 16  # eleven minutes
TOGETHER = 32  # windows that are listened to at once: what they share is heard once
VOICE_STEPS = 256.0  # of an embedding's values, each about 0.1, to a whole number of 8 bits


class Store(Protocol):
    """Where voices are kept: numbers of 8 bits, added at the end and read from anywhere."""

    def append(self, values: np.ndarray[Any, Any]) -> None:
        """Add numbers."""

    def read(self, start: int, length: int) -> np.ndarray[Any, Any]:
        """Return `length` numbers from number `start`."""


class Voices(Protocol):
    """Voices of windows, read part by part: an array would do, but hours of them are large."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Windows, signals, dims."""

    def __len__(self) -> int:
        """Return the number of windows."""

    def __getitem__(self, part: slice) -> np.ndarray[Any, np.dtype[np.int8]]:
        """Return the voices of some windows, `[windows, signals, dims]`."""


@dataclass(frozen=True)
class StoredVoices:
    """Voices that lie in a store, one window after the other; see `Voices`."""

    store: Store
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray[Any, np.dtype[np.int8]]:
        start, stop, _ = part.indices(len(self))
        count, size = max(0, stop - start), self.shape[1] * self.shape[2]
        return self.store.read(start * size, count * size).reshape(count, *self.shape[1:])


@dataclass(frozen=True)
class Timeline:
    """What was heard.

    Attributes:
        levels: Of the mixture, then of each output, in `STEP_DB` above `FLOOR_DB`,
            `[1 + outputs, frames]`.
        starts: First frame of each window, `[windows]`.
        voices: Embeddings of the mixture and of each output in a window, `[windows, 1 + outputs,
            dims]`, in `VOICE_STEPS`; zero where there is nothing to hear.
    """

    levels: Bytes
    starts: np.ndarray[Any, np.dtype[np.int64]]
    voices: Voices

    @property
    def num_outputs(self) -> int:
        """Outputs of the separator."""
        return len(self.levels) - 1

    @property
    def num_frames(self) -> int:
        """Frames of the recording; the last one may reach beyond its end."""
        return int(self.levels.shape[1])

    @property
    def has_voices(self) -> bool:
        """Whether any voice was embedded: somebody asked, and there was something to hear."""
        return bool(self.voices.shape[-1])

    def decibels(self, start: int, stop: int) -> Array:
        """Return levels of frames [dB], `[1 + outputs, frames]`."""
        return self.levels[:, start:stop].astype(np.float32) * STEP_DB + FLOOR_DB

    def power(self, signals: slice, part: slice) -> Array:
        """Return the power of frames, `[frames]`.

        Args:
            signals: Whose powers are added: `MIXTURE` or `OUTPUTS`.
            part: Which frames.
        """
        of_level = 10.0 ** ((np.arange(256, dtype=np.float32) * STEP_DB + FLOOR_DB) / 10.0)
        return np.asarray(of_level[self.levels[signals, part]].sum(axis=0), np.float32)

    def parts(self) -> list[slice]:
        """Return the frames part by part: as numbers of 32 bits, those of hours are large."""
        starts = range(0, max(self.num_frames, 1), FRAMES_AT_ONCE)
        return [slice(start, start + FRAMES_AT_ONCE) for start in starts]


class TimelineBuilder:
    """Listens to a recording block by block; holds one window of it.

    Args:
        num_outputs: Of the separator.
        sample_rate: Of the blocks [Hz].
        embed: Embeds a waveform at a rate; None: nobody asks for voices.
        store: Where voices are kept, empty.
    """

    def __init__(
        self, num_outputs: int, sample_rate: int, embed: Embed | None, store: Store
    ) -> None:
        self._rate, self._embed, self._store = sample_rate, embed, store
        self._window = round(WINDOW_SECONDS * sample_rate)
        self._hop = round(HOP_SECONDS * sample_rate)
        self._num_signals = 1 + num_outputs
        self._held: list[Array] = []  # blocks that are not listened to yet
        self._num_held = 0
        self._position = 0  # of the first sample held
        self._levels = bytearray()  # frame by frame
        self._rest = np.zeros((self._num_signals, 0), np.float32)
        self._starts = array("q")
        self._num_stored = 0  # windows; until something is heard nobody knows how many dims
        self._dims = 0

    def add(self, mixture: Array, estimates: Array) -> None:
        """Hear the next samples, `[samples]` and `[outputs, samples]`; any number of them."""
        block = np.concatenate([mixture[np.newaxis], estimates])
        self._rest = self._add_levels(np.concatenate([self._rest, block], axis=1))
        self._held.append(block)
        self._num_held += block.shape[1]
        self._listen_to_held(TOGETHER)

    def finish(self) -> Timeline:
        """Return what was heard; the end is listened to in a window of its own."""
        if num_samples := self._rest.shape[1]:
            length = self._edges(1)[1]
            self._add_levels(np.pad(self._rest, ((0, 0), (0, length - num_samples))))
        self._listen_to_held(1)
        if self._num_held >= MIN_WINDOW_SECONDS * self._rate:
            self._listen(np.concatenate(self._held, axis=1), self._num_held)
        num_windows = len(self._starts)
        self._store_silence(num_windows)
        return Timeline(
            levels=np.frombuffer(self._levels, np.uint8).reshape(-1, self._num_signals).T,
            starts=np.array(self._starts, np.int64),
            voices=StoredVoices(self._store, (num_windows, self._num_signals, self._dims)),
        )

    def _listen_to_held(self, least: int) -> None:
        """Listen to so many windows of what is held, again and again; hold what comes after.

        Which go together depends on the recording alone, not on how its blocks are cut.

        Args:
            least: Number of windows to go together; never more than `TOGETHER` do.
        """
        enough = self._window + (least - 1) * self._hop
        if self._num_held < enough:
            return
        held = np.concatenate(self._held, axis=1)
        while (length := held.shape[1]) >= enough:
            count = min((length - self._window) // self._hop + 1, TOGETHER)
            self._listen(held[:, : self._window + (count - 1) * self._hop], self._window)
            self._position += count * self._hop
            held = held[:, count * self._hop :]
        self._held, self._num_held = [held.copy()], length

    def _add_levels(self, samples: Array) -> Array:
        """Take the levels of whole frames, `[1 + outputs, samples]`; return what is left."""
        edges = self._edges(-(-samples.shape[1] * FRAMES_A_SECOND // self._rate))
        edges = edges[edges <= samples.shape[1]]
        if len(edges) > 1:
            energy = np.add.reduceat(np.square(samples[:, : edges[-1]]), edges[:-1], axis=1)
            self._levels += levels_of(energy / np.diff(edges)).T.tobytes()
        return samples[:, edges[-1] :]

    def _edges(self, count: int) -> IntArray:
        """Return where the next `count` frames begin, and the last ends, from there [samples].

        At rates that are no multiple of 100 some are longer than others, by a sample.
        """
        first = len(self._levels) // self._num_signals
        edges = np.arange(first, first + count + 1) * self._rate // FRAMES_A_SECOND
        return np.asarray(edges - edges[0])

    def _store_silence(self, num_windows: int) -> None:
        """Store silence for windows before number `num_windows` that nothing is stored of."""
        size = (num_windows - self._num_stored) * self._num_signals * self._dims
        self._store.append(np.zeros(size, np.int8))
        self._num_stored = num_windows

    def _listen(self, signals: Array, window: int) -> None:
        """Take the voices of the windows of a stretch, `[1 + outputs, samples]`."""
        starts = range(0, signals.shape[1] - window + 1, self._hop)
        first = self._position
        self._starts.extend((first + start) * FRAMES_A_SECOND // self._rate for start in starts)
        parts = [signals[:, start : start + window] for start in starts]
        energy = np.stack([np.einsum("ks,ks->k", part, part) for part in parts], axis=1)
        heard, alone = worth_hearing(np.asarray(energy / window, np.float32))
        if self._embed is None or not heard.any():
            return
        found = {}
        for signal, own in enumerate(heard):
            for first, last in runs(own):
                stretch = signals[signal, starts[first] : starts[last - 1] + window]
                found[signal, first, last] = embed_windows(
                    self._embed, stretch, self._rate, window, self._hop
                )
        self._dims = next(iter(found.values())).shape[1]
        voices = np.zeros((len(starts), len(signals), self._dims), np.float32)
        for (signal, first, last), own in found.items():
            voices[first:last, signal] = own
        np.copyto(voices, voices[:, :1], where=alone.T[:, :, np.newaxis])
        self._store_silence(len(self._starts) - len(starts))
        self._store.append(np.clip(np.round(voices * VOICE_STEPS), -127, 127).astype(np.int8))
        self._num_stored += len(starts)


def worth_hearing(power: Array) -> tuple[Mask, Mask]:
    """Return where to listen, and where an output is alone, which sounds like the mixture.

    Args:
        power: Of the mixture and each output in each window, `[1 + outputs, windows]`.

    Returns:
        Both `[1 + outputs, windows]`; who is alone is not listened to.
    """
    loud = power >= power[1:].max(axis=0) * np.float32(10.0 ** (-WEAK_DB / 10.0))
    loud[0] = True
    loud &= power[0] > 10.0 ** (FLOOR_DB / 10.0)
    alone = loud & (loud[1:].sum(axis=0) == 1)
    alone[0] = False
    return loud & ~alone, alone
