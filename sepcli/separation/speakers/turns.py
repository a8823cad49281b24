"""Turns: who speaks from when to when; what labels, files and scores are made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np

Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, order=True, slots=True)
class Turn:
    """A stretch in which one person speaks.

    Attributes:
        start_seconds: Where it begins [s].
        stop_seconds: Where it ends [s].
        speaker: Whose it is, from 0.
    """

    start_seconds: float
    stop_seconds: float
    speaker: int

    @property
    def seconds(self) -> float:
        """How long it is [s]."""
        return self.stop_seconds - self.start_seconds


def runs(mask: Mask) -> list[tuple[int, int]]:
    """Return first index and index after the last of each run of true values, in order."""
    edges = (np.flatnonzero(mask[1:] != mask[:-1]) + 1).tolist()
    if len(mask) and mask[0]:
        edges.insert(0, 0)
    if len(mask) and mask[-1]:
        edges.append(len(mask))
    return list(zip(edges[::2], edges[1::2], strict=True))


def turns_of(active: Mask, rate: float) -> tuple[Turn, ...]:
    """Return the turns of everybody in order of time.

    Args:
        active: Who speaks when, `[speakers, frames]`.
        rate: Frames a second.
    """
    found = (
        Turn(start / rate, stop / rate, speaker)
        for speaker, row in enumerate(active)
        for start, stop in runs(row)
    )
    return tuple(sorted(found))
