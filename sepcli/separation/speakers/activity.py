"""Who speaks at every moment, and in which output: a path through states, by Viterbi; pure.

A state is a set of people, each in an output of the separator: nobody else speaks. The evidence
is of two kinds. Windows of 1.5 s tell whether two speak at once, and who. Levels of outputs tell
it every 100 ms, where the network separates well; where it does not, one voice alone is spread
over two outputs, levels say little, and voices carry the decision. Changing state has a price.

Whether anybody speaks at all is told beforehand, from the level of the mixture.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise, permutations
from typing import Any

import numpy as np

from sepcli.separation.chunking import PEAK_PERCENTILE, percentile
from sepcli.separation.speakers.path import States, best_path
from sepcli.separation.speakers.people import MOST_PEOPLE, unit
from sepcli.separation.speakers.steps import (
    LEVEL_WEIGHT,
    STEP_FRAMES,
    loud_level,
    odds_of_several,
    present,
    step_levels,
)
from sepcli.separation.speakers.timeline import (
    FRAME_SECONDS,
    MIXTURE,
    OUTPUTS,
    WINDOW_SECONDS,
    Timeline,
)
from sepcli.separation.speakers.turns import Mask, runs
from sepcli.separation.speakers.windows import (
    BLOCK,
    OVERLAP_BIAS,
    OVERLAP_WEIGHTS,
    Windows,
    overlap_evidence,
)

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]
State = tuple[tuple[int, int], ...]  # people, and the output of each

SPEECH_BELOW_PEAK_DB, SPEECH_BELOW_PEAK_IN_NOISE_DB = 35.0, 30.0
QUIET_PERCENTILE = 5.0  # of frames that are not silent: as loud as speech, they are noise
SMOOTHING_FRAMES = 10
MOST_FRAMES = 1 << 18  # three quarters of an hour: of longer recordings every so many are enough
SHORTEST_PAUSE_SECONDS, SHORTEST_SPEECH_SECONDS = 0.5, 0.2
MOST_STEPS = 600  # that are looked at together: weights of windows in them grow with the square
VOICE_WEIGHT = 12.0  # of a cosine, in log odds
# chosen, with the costs, on conversations of training speakers whose voices were known
WINDOW_SHARE = 0.25  # of the evidence of a window that a step gets: windows overlap
ENTER_COST, CHANGE_COST, MOVE_COST = 1.8, 4.0, 4.0  # somebody joins or leaves; another set; output
MOST_STATES = 120
MIN_SHARE_OF_A_WINDOW = 0.7  # in which the same people speak: it says what they sound like


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a recording in which the same people speak.

    Attributes:
        start: First frame.
        stop: The frame after the last.
        outputs: Who speaks, and which output of the separator holds it; in order of people.
    """

    start: int
    stop: int
    outputs: State


def speech_frames(timeline: Timeline) -> Mask:
    """Return in which frames somebody speaks, judged by the loudest frames, `[frames]`.

    A recording that is hardly ever quiet holds noise. There the estimates together must be loud
    too: in pauses, networks that have learned what noise is leave most of it out.
    """
    speaks, is_noisy = _loud_frames(timeline, MIXTURE, SPEECH_BELOW_PEAK_DB)
    if is_noisy:
        speaks &= _loud_frames(timeline, OUTPUTS, SPEECH_BELOW_PEAK_IN_NOISE_DB)[0]
    return without_short_runs(speaks)


def _loud_frames(timeline: Timeline, signals: slice, below_peak_db: float) -> tuple[Mask, bool]:
    """Return in which frames signals together are loud, and whether they hardly ever are not."""
    every = max(1, -(-timeline.num_frames // MOST_FRAMES))
    parts = timeline.parts()
    sounding = np.concatenate(
        [
            _smooth_power(timeline, signals, part)[timeline.levels[0, part] > 0][::every]
            for part in parts
        ]
    )
    if not sounding.size:
        return np.zeros(timeline.num_frames, np.bool_), False
    least = percentile(sounding, PEAK_PERCENTILE) * 10.0 ** (-below_peak_db / 10.0)
    loud = np.concatenate([_smooth_power(timeline, signals, part) > least for part in parts])
    return loud, percentile(sounding, QUIET_PERCENTILE) > least


def _smooth_power(timeline: Timeline, signals: slice, part: slice) -> FloatArray:
    """Return the power of signals together in some frames, smoothed, `[frames]`."""
    first = max(0, part.start - SMOOTHING_FRAMES)
    power = timeline.power(signals, slice(first, part.stop + SMOOTHING_FRAMES))
    window = np.ones(SMOOTHING_FRAMES, np.float32) / SMOOTHING_FRAMES
    smooth = np.convolve(power, window, "same")[: len(power)]
    return smooth[part.start - first : part.stop - first]


def without_short_runs(speaks: Mask) -> Mask:
    """Return speech with short pauses filled, then without short bursts, `[frames]`."""
    kept = speaks.copy()
    for start, stop in runs(~speaks):
        if start > 0 and stop < len(speaks) and stop - start < _frames(SHORTEST_PAUSE_SECONDS):
            kept[start:stop] = True
    for start, stop in runs(kept):
        if stop - start < _frames(SHORTEST_SPEECH_SECONDS):
            kept[start:stop] = False
    return kept


def decide_activity(
    timeline: Timeline, speaks: Mask, windows: Windows, people: FloatArray
) -> tuple[Stretch, ...]:
    """Return who speaks when, in order of time; pauses are between stretches.

    Args:
        timeline: What was heard.
        speaks: When anybody speaks, `[frames]`.
        windows: What its windows tell.
        people: What each sounds like, `[people, dims]`.
    """
    states = _states(len(people), timeline.num_outputs)
    prices = _prices(states)

    @lru_cache(maxsize=2)
    def scores_of(number: int) -> FloatArray:
        block = windows.part(number * BLOCK, (number + 1) * BLOCK)
        return _window_scores(block, people, states)

    loud_db = loud_level(timeline)
    found: list[Stretch] = []
    for start, stop in runs(speaks):
        evidence = _steps(timeline, windows, scores_of, states, loud_db, start, stop)
        for first, last, state in _constant(best_path(evidence, prices)):
            begin, end = start + first * STEP_FRAMES, min(start + last * STEP_FRAMES, stop)
            found.append(Stretch(begin, end, states[state]))
    return tuple(found)


@lru_cache(maxsize=2 * MOST_PEOPLE)
def _states(num_people: int, num_outputs: int) -> tuple[State, ...]:
    """Return who may be where: sets of people in outputs of their own."""
    states: list[State] = []
    for size in range(1, min(num_people, num_outputs) + 1):
        more = [
            tuple(zip(group, places, strict=True))
            for group in combinations(range(num_people), size)
            for places in permutations(range(num_outputs), size)
        ]
        if size > 2 and len(states) + len(more) > MOST_STATES:
            break
        states += more
    return tuple(states)


@lru_cache(maxsize=2 * MOST_PEOPLE)
def _prices(states: tuple[State, ...]) -> FloatArray:
    """Return what it costs to go from one state to another, `[before, after]`."""
    prices = np.zeros((len(states), len(states)))
    for (one, before), (other, after) in permutations(enumerate(states), 2):
        was, now = dict(before), dict(after)
        stays = was.keys() & now.keys()
        if was.keys() != now.keys():
            grows = len(stays) == min(len(was), len(now))
            prices[one, other] += ENTER_COST if grows else CHANGE_COST
        if any(was[person] != now[person] for person in stays):
            prices[one, other] += MOVE_COST
    return prices


def _window_scores(windows: Windows, people: FloatArray, states: Sequence[State]) -> FloatArray:
    """Return the log odds of each state in each window, `[windows, states]`."""
    likeness = windows.likeness_to(people)
    evidence = overlap_evidence(windows, people, likeness)
    odds = evidence @ np.array(OVERLAP_WEIGHTS) + OVERLAP_BIAS
    scores = np.empty((len(odds), len(states)))
    sizes = np.array([len(state) for state in states])
    for number, state in enumerate(states):
        if len(state) == 1:
            scores[:, number] = likeness[:, 0, state[0][0]]
        else:
            scores[:, number] = np.mean([likeness[:, 1 + k, who] for who, k in state], axis=0)
    for size in np.unique(sizes):
        same = sizes == size
        scores[:, same] -= scores[:, same].max(axis=1, keepdims=True)
        count = -np.logaddexp(0.0, odds if size == 1 else -odds)
        scores[:, same] = count[:, np.newaxis] + VOICE_WEIGHT * scores[:, same]
    return scores * windows.speech[:, np.newaxis]


def _steps(
    timeline: Timeline,
    windows: Windows,
    scores_of: Callable[[int], FloatArray],
    states: Sequence[State],
    loud_db: float,
    start: int,
    stop: int,
) -> Iterator[FloatArray]:
    """Yield the evidence of each step of some frames, some at a time, `[steps, states]`."""
    sizes = np.array([len(state) for state in states])
    half = WINDOW_SECONDS / FRAME_SECONDS / 2.0
    length = MOST_STEPS * STEP_FRAMES
    for begin in range(start, stop, length):
        num_steps = -(-min(length, stop - begin) // STEP_FRAMES)
        times = begin + (np.arange(num_steps) + 0.5) * STEP_FRAMES
        first = int(np.searchsorted(windows.middles, times[0] - 2 * half, "right"))
        last = int(np.searchsorted(windows.middles, times[-1] + 2 * half))
        near = windows.middles[first:last]
        weights = np.maximum(0.0, 1.0 - np.abs(times[:, np.newaxis] - near) / half)
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
        blocks = range(first // BLOCK, -(-last // BLOCK))
        offset = blocks.start * BLOCK
        scores = np.concatenate([scores_of(number) for number in blocks])
        evidence = WINDOW_SHARE * weights @ scores[first - offset : last - offset]
        levels = step_levels(timeline, begin, num_steps)
        evidence[:, sizes > 1] += odds_of_several(levels, loud_db)[:, np.newaxis]
        for number, state in enumerate(states):
            held = [output for _, output in state]
            signs = np.where(np.isin(np.arange(timeline.num_outputs), held), 1.0, -1.0)
            evidence[:, number] += LEVEL_WEIGHT * (present(levels) @ signs)
        yield evidence


def _constant(path: States) -> list[tuple[int, int, int]]:
    """Return the runs of equal values: first step, step after the last, value."""
    edges = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    return [(a, b, int(path[a])) for a, b in pairwise(edges)]


def _frames(seconds: float) -> int:
    return round(seconds / FRAME_SECONDS)


def voices_heard(
    windows: Windows, stretches: Sequence[Stretch], num_people: int, num_frames: int
) -> tuple[FloatArray, FloatArray]:
    """Return what people sound like where they speak, and for how long they do.

    Where somebody never speaks alone for long enough, it is what they sound like in overlaps.

    Args:
        windows: As heard.
        stretches: Who speaks when.
        num_people: How many there are.
        num_frames: Length of the recording.

    Returns:
        Voices `[people, dims]`, zero of who is never heard, and seconds `[people]`.
    """
    places: dict[State, int] = {}
    states = np.full(num_frames, -1, np.int16)
    frames = np.zeros(num_people)
    for stretch in stretches:
        states[stretch.start : stretch.stop] = places.setdefault(stretch.outputs, len(places))
        for person, _ in stretch.outputs:
            frames[person] += stretch.stop - stretch.start
    outputs = list(places)
    half = round(WINDOW_SECONDS / FRAME_SECONDS / 2)
    alone, beside = np.zeros((2, num_people, windows.voices.shape[2]), np.float32)
    for number, middle in enumerate(windows.middles.astype(int)):
        if number % BLOCK == 0:
            block = windows.voices[number : number + BLOCK]
        inside = states[max(0, middle - half) : middle + half]
        state = int(inside[len(inside) // 2]) if len(inside) else -1
        if state < 0 or np.mean(inside == state) <= MIN_SHARE_OF_A_WINDOW:
            continue
        voices = unit(block[number % BLOCK].astype(np.float32))
        for person, output in outputs[state]:
            if len(outputs[state]) == 1:
                alone[person] += voices[0]
            else:
                beside[person] += voices[1 + output]
    heard = np.where(alone.any(axis=1, keepdims=True), alone, beside)
    return unit(heard), frames * FRAME_SECONDS
