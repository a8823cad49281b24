"""SpeakerTracker: hears the chunks of a recording one by one and then tells who is who."""

from collections.abc import Iterator
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np

from sepcli.separation.chunking import Chunk
from sepcli.separation.speakers.assignment import require_states, solve_order
from sepcli.separation.speakers.evidence import (
    ACTIVE_RATIO,
    FLOOR_RATIO,
    FRAME_SECONDS,
    ChunkEvidence,
    Embed,
    agreement,
    dominant,
    frame_power,
    voiced_frames,
    voices,
)
from sepcli.separation.speakers.levels import fit_levels
from sepcli.separation.speakers.order import SpeakerOrder

Array = np.ndarray[Any, np.dtype[np.float32]]

_ARRAYS = {  # of `ChunkEvidence`, beside voices: what they hold, and axes of `speakers`
    "trust": (np.float32, 1),
    "seconds": (np.float32, 1),
    "onsets": (np.int64, 1),
    "power": (np.float32, 1),
    "agreement": (np.float32, 2),
}
_told_in_numbers = attrgetter("start", "stop", *_ARRAYS)


class SpeakerTracker:
    """Collects the evidence on the order of speakers; keeps the estimates of one chunk at most.

    Args:
        num_speakers: Outputs of the separator.
        sample_rate: Of the estimates [Hz].
        embed: Embeds a waveform `[samples]` at a rate [Hz] as `[dims]` of length one; None to go
            by the overlaps of chunks alone.
    """

    def __init__(self, num_speakers: int, sample_rate: int, embed: Embed | None = None) -> None:
        self._num_speakers = num_speakers
        self._sample_rate = sample_rate
        self._embed = embed
        self._frame = max(1, round(FRAME_SECONDS * sample_rate))
        self._kept = _Kept(num_speakers)
        self._before: tuple[Chunk, Array] | None = None

    def add(
        self, chunk: Chunk, mixture: Array, estimates: Array, *, is_levelled: bool = False
    ) -> None:
        """Hear the next chunk.

        Args:
            chunk: Where it lies; chunks come in order.
            mixture: What the separator was given, `[samples]`.
            estimates: What it gave, `[speakers, samples]`, at any level.
            is_levelled: Whether they are at the level of their speakers already.

        Raises:
            ValueError: The shapes do not fit.
            ModelError: There are too many speakers to keep in order over several chunks.
        """
        require_states(len(self._kept) + 1, self._num_speakers)
        if estimates.shape != (self._num_speakers, chunk.length):
            raise ValueError(f"expected {self._num_speakers} estimates of {chunk.length} samples")
        levelled = estimates
        if not is_levelled:
            levelled = fit_levels(mixture, estimates)[:, np.newaxis] * estimates
        power = frame_power(levelled, self._frame)
        speaking = dominant(power, ACTIVE_RATIO)
        embeddings, trust = np.zeros((len(power), 0), np.float32), np.zeros(len(power), np.float32)
        if self._embed is not None:
            alone = voiced_frames(power)
            embeddings, trust = voices(levelled, alone, self._frame, self._sample_rate, self._embed)
        count = speaking.sum(axis=1)
        first = [row.argmax() * self._frame if row.any() else chunk.length for row in speaking]
        evidence = ChunkEvidence(
            start=chunk.start,
            stop=chunk.stop,
            voices=embeddings.astype(np.float16),
            trust=trust,
            seconds=(count * self._frame / self._sample_rate).astype(np.float32),
            onsets=chunk.start + np.array(first, np.int64),
            power=((power * speaking).sum(axis=1) / np.maximum(count, 1)).astype(np.float32),
            agreement=self._agreement(chunk, levelled, power),
        )
        self._kept.add(evidence)
        self._before = (chunk, levelled)

    def _agreement(self, chunk: Chunk, levelled: Array, power: Array) -> Array:
        nothing = np.zeros((self._num_speakers, self._num_speakers), np.float32)
        if self._before is None or self._num_speakers == 1:
            return nothing
        earlier, before = self._before
        shared = earlier.stop - chunk.start
        if shared < self._frame:
            return nothing
        floor = FLOOR_RATIO * float(power.max(initial=0.0))
        head, tail = levelled[:, :shared], before[:, -shared:]
        return agreement(tail, head, self._frame, self._sample_rate / self._frame, floor)

    def solve(self) -> SpeakerOrder:
        """Return the order of speakers in every chunk heard so far."""
        return solve_order(list(self._kept), self._num_speakers)


class _Kept:
    """The evidence of all chunks, without arrays, which would lie among the network's blocks.

    For hours: the gaps between them never fit the network's next block. Python has a place of its
    own for objects of up to 512 bytes, as what is kept of a voice is.
    """

    def __init__(self, num_speakers: int) -> None:
        self._numbers = _numbers(num_speakers)
        self._chunks: list[list[bytes]] = []  # numbers, then each voice

    def add(self, evidence: ChunkEvidence) -> None:
        """Keep what is told of the next chunk."""
        numbers = np.array(_told_in_numbers(evidence), self._numbers)
        self._chunks.append([numbers.tobytes(), *[each.tobytes() for each in evidence.voices]])

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[ChunkEvidence]:
        for held, *heard in self._chunks:
            numbers = np.frombuffer(held, self._numbers)[0]
            yield ChunkEvidence(
                start=int(numbers["start"]),
                stop=int(numbers["stop"]),
                voices=np.frombuffer(b"".join(heard), np.float16).reshape(len(heard), -1),
                **{name: numbers[name] for name in _ARRAYS},
            )


@cache
def _numbers(num_speakers: int) -> np.dtype[np.void]:
    """Return how what is told in numbers of a chunk is held."""
    return np.dtype(
        [(name, np.int64) for name in ("start", "stop")]
        + [(name, kind, (num_speakers,) * axes) for name, (kind, axes) in _ARRAYS.items()]
    )
