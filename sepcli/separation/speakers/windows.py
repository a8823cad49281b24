"""What the windows of a recording tell: how loud and how alike outputs are, whose voices; pure."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from sepcli.separation.speakers.people import unit
from sepcli.separation.speakers.timeline import (
    FRAME_SECONDS,
    WINDOW_SECONDS,
    Timeline,
    Voices,
)
from sepcli.separation.speakers.turns import Mask

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]

# Log odds that two speak in a window, from: how much stronger one output is [dB]; how much better
# two voices fit than one, relative to how unlike the two are; how well the best voice fits the
# mixture; how far outputs sound like copies of one. The first three were fitted on windows of
# conversations of training speakers whom the embedding did not know, then changed as lowered the
# diarization error there; the last keeps copies one voice, and lowers it a little.
OVERLAP_WEIGHTS = (-0.35, 7.9, -15.6, -10.0)
OVERLAP_BIAS = 19.8
# of the first, and of the likeness of outputs: log odds that one speaks, before people are known
ALONE_WEIGHTS = (0.554, 6.489)
LEAST_UNLIKE = 0.1  # of two people: who are nearer tell as much as these
COPY_LIKENESS = 0.6  # outputs nearer than this sound like copies
BLOCK = 1024  # windows whose voices are held at once


@dataclass(frozen=True)
class Windows:
    """What the windows of a recording tell, whoever the people are.

    Attributes:
        middles: Of windows, in frames, `[windows]`.
        speech: Share of each in which somebody speaks.
        strongest: The two strongest outputs, `[windows, 2]`.
        difference_db: By how much the first is stronger.
        likeness: Of the voices in these two outputs.
        is_heard: Whether both have a voice.
        voices: As the timeline keeps them, `[windows, 1 + outputs, dims]`.
    """

    middles: FloatArray
    speech: FloatArray
    strongest: IntArray
    difference_db: FloatArray
    likeness: FloatArray
    is_heard: Mask
    voices: Voices

    def part(self, start: int, stop: int) -> "Windows":
        """Return some windows, with their voices in memory."""
        part = slice(start, stop)
        return Windows(**{each.name: getattr(self, each.name)[part] for each in fields(self)})

    def embeddings(self, windows: IntArray, signals: IntArray | int) -> FloatArray:
        """Return voices of length one, `[windows, dims]`.

        Args:
            windows: In which, in order, `[windows]`.
            signals: Of the mixture (0) or an output (1 and on), alike or one for all.
        """
        signals = np.broadcast_to(signals, windows.shape)
        found = np.zeros((len(windows), self.voices.shape[2]), np.float32)
        for start in np.unique(windows // BLOCK) * BLOCK:
            inside = slice(*np.searchsorted(windows, (start, start + BLOCK)))
            part = self.voices[start : start + BLOCK]
            found[inside] = part[windows[inside] - start, signals[inside]]
        return unit(found)

    def voice(self, windows: IntArray, signal: int) -> FloatArray:
        """Return the sum of voices of a signal in windows, of length one or zero, `[dims]`."""
        starts = range(0, len(windows), BLOCK)
        parts = [self.embeddings(windows[k : k + BLOCK], signal).sum(axis=0) for k in starts]
        return unit(np.sum(parts, axis=0) if parts else np.zeros(self.voices.shape[2], np.float32))

    def likeness_to(self, people: FloatArray) -> FloatArray:
        """Return how alike all voices are to people, `[windows, 1 + outputs, people]`."""
        return np.asarray(unit(self.voices[:].astype(np.float32)) @ people.T)

    def alone(self) -> FloatArray:
        """Return log odds that one speaks, by what does not depend on who people are."""
        return ALONE_WEIGHTS[0] * self.difference_db + ALONE_WEIGHTS[1] * self.likeness


def look_at_windows(timeline: Timeline, speaks: Mask) -> Windows:
    """Return what the windows of a recording tell."""
    length = round(WINDOW_SECONDS / FRAME_SECONDS)
    levels = np.zeros((len(timeline.starts), timeline.num_outputs), np.float32)
    speech = np.zeros(len(timeline.starts), np.float32)
    for number, start in enumerate(timeline.starts):
        decibels = timeline.decibels(start, start + length)[1:]
        levels[number] = np.log10(np.mean(10.0 ** (decibels / 10.0), axis=1)) * 10.0
        speech[number] = speaks[start : start + length].mean()
    strongest = np.argsort(-levels, axis=1, kind="stable")[:, :2]
    top = np.take_along_axis(levels, strongest, axis=1)
    likeness, is_heard = _likeness_of_pairs(timeline.voices, strongest)
    return Windows(
        middles=timeline.starts + length / 2.0,
        speech=speech,
        strongest=strongest,
        difference_db=top[:, 0] - top[:, -1],
        likeness=likeness,
        is_heard=is_heard,
        voices=timeline.voices,
    )


def _likeness_of_pairs(voices: Voices, pairs: IntArray) -> tuple[FloatArray, Mask]:
    """Return how alike the voices of two outputs are, and whether both have one, `[windows]`."""
    likeness, is_heard = np.zeros(len(voices), np.float32), np.zeros(len(voices), np.bool_)
    for start in range(0, len(voices), BLOCK):
        part = voices[start : start + BLOCK]
        rows, inside = np.arange(len(part)), slice(start, start + len(part))
        one, other = (part[rows, 1 + pairs[inside, k]] for k in (0, -1))
        is_heard[inside] = one.any(axis=1) & other.any(axis=1)
        first, second = unit(one.astype(np.float32)), unit(other.astype(np.float32))
        likeness[inside] = np.einsum("wd,wd->w", first, second)
    return likeness, is_heard


def overlap_evidence(windows: Windows, people: FloatArray, likeness: FloatArray) -> FloatArray:
    """Return what `OVERLAP_WEIGHTS` weigh, `[windows, 4]`.

    Args:
        windows: As heard.
        people: What each sounds like, `[people, dims]`.
        likeness: How alike all voices are to them, `[windows, 1 + outputs, people]`.
    """
    outputs = windows.strongest[:, :, np.newaxis]
    first, second = np.take_along_axis(likeness[:, 1:], outputs, axis=1).swapaxes(0, 1)[[0, -1]]
    both = first[:, :, np.newaxis] + second[:, np.newaxis]  # [windows, people, people]
    one = np.einsum("wpp->wp", both).max(axis=1)
    gain = np.full(len(one), -1.0)
    if len(people) > 1:
        both = np.where(np.eye(len(people), dtype=bool), -np.inf, both).reshape(len(both), -1)
        pair = both.argmax(axis=1)
        alike = (people @ people.T).ravel()[pair]
        gain = (both[np.arange(len(both)), pair] - one) / np.maximum(1.0 - alike, LEAST_UNLIKE)
    best = likeness[:, 0].max(axis=1)
    copies = np.maximum(windows.likeness - COPY_LIKENESS, 0.0)
    return np.stack([windows.difference_db, gain, best, copies], axis=1)
