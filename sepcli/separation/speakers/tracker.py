"""SpeakerTracker: hears the chunks of a recording one by one and then tells who is who."""

from dataclasses import fields
from typing import Any

import numpy as np

from sepcli.separation.chunking import Chunk, seconds_to_samples
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
_Kept = tuple[Any, ...]  # fields of ChunkEvidence; arrays as type, shape and bytes of each row


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
        self._frame = max(1, seconds_to_samples(FRAME_SECONDS, sample_rate))
        self._kept: list[_Kept] = []
        self._before: tuple[Chunk, Array] | None = None

    def add(
        self, chunk: Chunk, mixture: Array, estimates: Array, *, is_levelled: bool = False
    ) -> None:
        """Hear the next chunk.

        Args:
            chunk: Where it lies; chunks come in order.
            mixture: What the separator was given, `[samples]`.
            estimates: What it gave, `[speakers, samples]`, at any level.
            is_levelled: Whether `fit_levels` was applied to them already.

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
        count = np.count_nonzero(speaking, axis=1)
        first = [np.argmax(row) * self._frame if row.any() else chunk.length for row in speaking]
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
        self._kept.append(_put_away(evidence))
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
        return solve_order([_take_out(each) for each in self._kept], self._num_speakers)


def _put_away(evidence: ChunkEvidence) -> _Kept:
    """Return the evidence without arrays, which would lie among the blocks of the network.

    For hours: the gaps between them never fit the network's next block. Python has a place of its
    own for objects of up to 512 bytes.
    """
    values = (getattr(evidence, each.name) for each in fields(evidence))
    return tuple(
        (value.dtype.str, value.shape, [row.tobytes() for row in value])
        if isinstance(value, np.ndarray)
        else value
        for value in values
    )


def _take_out(kept: _Kept) -> ChunkEvidence:
    """Return what was put away."""
    values: list[Any] = [
        np.frombuffer(b"".join(each[2]), each[0]).reshape(each[1])
        if isinstance(each, tuple)
        else each
        for each in kept
    ]
    return ChunkEvidence(*values)
