"""What is decided on a recording: who is who in every chunk, and how surely."""

from dataclasses import dataclass
from typing import Any

import numpy as np

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Uncertain:
    """A stretch in which speakers may be swapped.

    Attributes:
        start: Its first sample, at the network's rate.
        stop: The sample after its last, at that rate.
        margin: How much better the order taken scores than the next best.
    """

    start: int
    stop: int
    margin: float


@dataclass(frozen=True)
class SpeakerOrder:
    """Who is who in every chunk.

    Attributes:
        orders: Which output goes to which place, `[chunks, speakers]`; the estimates of chunk `n`
            in the order of speakers are `estimates[orders[n]]`. Places are sorted by who speaks
            first.
        margins: How much better each chunk goes on from the one before than in the next best
            way that would matter, `[chunks]`; infinite for the first, and where nobody is heard.
        uncertain: Where the margin is small, in order of time.
        num_voices: Places in which somebody speaks; the estimates of the others hold no speech.
    """

    orders: IntArray
    margins: FloatArray
    uncertain: tuple[Uncertain, ...]
    num_voices: int
