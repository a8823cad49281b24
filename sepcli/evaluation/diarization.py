"""Diarization error rate: how much of who-speaks-when is wrong, exact to the sample of time.

Fiscus et al., "The Rich Transcription 2006 Spring Meeting Recognition Evaluation",
https://doi.org/10.1007/11965152_28, with no collar around borders and with overlaps scored:

    DER = (missed + false alarm + confusion) / speech of all speakers
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from sepcli.separation.speakers.turns import Turn


@dataclass(frozen=True)
class DiarizationError:
    """What is wrong; where two speak, each second counts twice.

    Attributes:
        missed_seconds: Speech of somebody that is nobody's.
        false_alarm_seconds: Somebody's where nobody, or fewer, speak.
        confusion_seconds: Speech that is somebody else's.
        speech_seconds: Of all speakers.
        mapping: Which speaker of the truth each found one is; those without a partner are absent.
    """

    missed_seconds: float
    false_alarm_seconds: float
    confusion_seconds: float
    speech_seconds: float
    mapping: dict[int, int]

    @property
    def rate(self) -> float:
        """The diarization error rate."""
        wrong = self.missed_seconds + self.false_alarm_seconds + self.confusion_seconds
        return wrong / self.speech_seconds


def diarization_error(found: Sequence[Turn], truth: Sequence[Turn]) -> DiarizationError:
    """Return the errors under the assignment of speakers that has the fewest.

    Args:
        found: Turns that were found.
        truth: Turns as they are; at least one.
    """
    num_found = 1 + max((turn.speaker for turn in found), default=-1)
    num_true = 1 + max(turn.speaker for turn in truth)
    edges = sorted({t for x in (*found, *truth) for t in (x.start_seconds, x.stop_seconds)})
    lengths = np.array([stop - start for start, stop in pairwise(edges)])
    heard = _presence(found, num_found, edges)
    real = _presence(truth, num_true, edges)
    together = (heard * lengths) @ real.T
    rows, columns = linear_sum_assignment(together, maximize=True)
    correct = np.einsum("rn,rn,n->", heard[rows], real[columns], lengths)
    num_heard, num_real = heard.sum(axis=0), real.sum(axis=0)
    matched = float(np.minimum(num_heard, num_real) @ lengths)
    return DiarizationError(
        missed_seconds=float(np.maximum(num_real - num_heard, 0.0) @ lengths),
        false_alarm_seconds=float(np.maximum(num_heard - num_real, 0.0) @ lengths),
        confusion_seconds=matched - float(correct),
        speech_seconds=float(num_real @ lengths),
        mapping={int(r): int(c) for r, c in zip(rows, columns, strict=True) if together[r, c] > 0},
    )


def _presence(
    turns: Sequence[Turn], num_speakers: int, edges: Sequence[float]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return 1 where a speaker speaks between two neighbouring edges, `[speakers, stretches]`."""
    present = np.zeros((num_speakers, len(edges) - 1))
    for turn in turns:
        first, last = np.searchsorted(edges, [turn.start_seconds, turn.stop_seconds])
        present[turn.speaker, first:last] = 1.0
    return present
