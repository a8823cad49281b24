"""The scene of a recording: how many people, what they sound like, who speaks when and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sepcli.separation.chunking import STEP_DB
from sepcli.separation.speakers.activity import (
    Stretch,
    decide_activity,
    speech_frames,
    voices_heard,
    without_short_runs,
)
from sepcli.separation.speakers.people import (
    MIN_PIECES,
    MOST_PEOPLE,
    Pieces,
    find_people,
    thinned,
)
from sepcli.separation.speakers.timeline import (
    FRAME_SECONDS,
    HOP_SECONDS,
    WINDOW_SECONDS,
    Timeline,
)
from sepcli.separation.speakers.turns import Mask, Turn, turns_of
from sepcli.separation.speakers.windows import Windows, look_at_windows

Array = np.ndarray[Any, np.dtype[np.float32]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]

MIN_SHARE_SPEECH = 0.6  # of a window that people are told by
MIN_ODDS_ALONE, MAX_ODDS_TOGETHER = 5.0, 3.0  # of `Windows.alone`: above the one, below the other
MIN_SECONDS_ALONE = 4.5  # of less, people cannot be told by their voices
MIN_SECONDS_ALONE_UNASKED = 15.0  # where nobody asked for people: overlaps look like one voice
MIN_SECONDS_TOGETHER = 1.5  # of two who speak at once, where one voice alone was found
MIN_SECONDS_OF_A_PERSON = 1.0  # who is heard for less is not counted
# One talker alone is loud in one output: of 30, over 60 s each, most had both this near for 1 % of
# their speech, and two, whom the network leaves in both, for a quarter; of 30 pairs 13 to 57 %.
NEAR_DB, MIN_SHARE_NEAR = 10.0, 0.12
ALIKE = 0.7  # two voices this near are told apart by the outputs that the separator keeps them in
WEAKEST_DB = 12.0  # below the strongest output, it is no turn where people are outputs


@dataclass(frozen=True)
class _Settled:
    """People, and when they speak by what they sound like.

    Attributes:
        people: What each sounds like where they speak, `[people, dims]`.
        seconds: For how long each does, `[people]`.
        stretches: Who speaks where, in order of time.
    """

    people: Array
    seconds: Array
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True)
class Scene:
    """Who takes part, and when.

    Attributes:
        num_people: How many take part; numbered by who speaks first.
        stretches: Who speaks where, in order of time; None where voices cannot tell people apart,
            and each is an output of the separator.
        turns: When each person speaks, in order of time.
        voices: What each person sounds like, `[people, dims]`, of length one; zero of who is never
            heard well, and without dims where nobody is.
    """

    num_people: int
    stretches: tuple[Stretch, ...] | None
    turns: tuple[Turn, ...]
    voices: Array


def seconds_to_tell_people(num_people: int | None, most: int, num_outputs: int) -> float:
    """Return how long people must be heard alone so that voices tell them apart [s].

    Args:
        num_people: How many there are; None counts them.
        most: How many there are at most, where they are counted.
        num_outputs: Of the separator.
    """
    is_asked = num_people is not None or most > num_outputs
    return MIN_SECONDS_ALONE if is_asked else MIN_SECONDS_ALONE_UNASKED


def understand(timeline: Timeline, num_people: int | None, most: int = MOST_PEOPLE) -> Scene:
    """Return the scene of a recording.

    Args:
        timeline: What was heard.
        num_people: How many people there are; None counts them.
        most: How many there are at most, where they are counted.
    """
    speaks = speech_frames(timeline)
    if not timeline.has_voices:
        return _outputs_as_people(timeline, speaks)
    windows = look_at_windows(timeline, speaks)
    pieces, seconds_alone, seconds_together = _one_voice_each(windows)
    if seconds_alone < seconds_to_tell_people(num_people, most, timeline.num_outputs):
        return _outputs_as_people(timeline, speaks, windows)
    people = find_people(pieces, num_people, most, two_at_once=_two_at_once(timeline, speaks))
    while True:
        settled = _settled(timeline, speaks, windows, people)
        if num_people or len(people) == 1 or settled.seconds.min() >= MIN_SECONDS_OF_A_PERSON:
            break
        people = np.delete(settled.people, settled.seconds.argmin(), axis=0)
    is_one = len(people) == 1 and num_people != 1 and seconds_together > MIN_SECONDS_TOGETHER
    is_alike = len(people) == timeline.num_outputs and _most_alike(settled.people) > ALIKE
    held = _voices_by_output(windows, timeline.num_outputs) if is_one or is_alike else None
    if held is not None:
        settled = _settled(timeline, speaks, windows, held)
    elif is_one:
        return _outputs_as_people(timeline, speaks, windows)  # one of them never speaks alone
    return _in_order(settled.people, settled.stretches)


def _two_at_once(timeline: Timeline, speaks: Mask) -> bool:
    """Return whether two outputs or more are near the strongest for much of the speech."""
    num_frames = num_near = 0
    for part in timeline.parts():
        levels = timeline.levels[1:, part][:, speaks[part]].astype(np.int16)
        near = (levels > levels.max(axis=0) - NEAR_DB / STEP_DB).sum(axis=0)
        num_frames, num_near = num_frames + len(near), num_near + int(np.sum(near > 1))
    return num_near > MIN_SHARE_NEAR * num_frames


def _one_voice_each(windows: Windows) -> tuple[Pieces, float, float]:
    """Return what is heard of one voice at a time, and for how long [s].

    Where one person most likely speaks alone, that is the recording itself; where two most likely
    speak, each of the two strongest outputs.

    Returns:
        The pieces that are to be clustered, seconds of which one speaks, and of which two do.
    """
    alone = _windows_alone(windows)
    is_full = windows.speech > MIN_SHARE_SPEECH
    together = np.flatnonzero(is_full & (windows.alone() < MAX_ODDS_TOGETHER))
    beside = together[windows.is_heard[together]]
    outputs = 1 + windows.strongest[beside].T
    places = np.concatenate([alone, *[beside] * len(outputs)])
    signals = np.concatenate([np.zeros_like(alone), *outputs])
    kept = thinned(places)
    ends = np.cumsum([len(alone), *[len(beside)] * len(outputs)])[:-1]
    parts = zip(*(np.split(each, ends) for each in (places, signals, kept)), strict=True)
    pieces = Pieces(
        voices=np.concatenate([windows.embeddings(at[k], signal[k]) for at, signal, k in parts]),
        windows=places[kept],
    )
    return pieces, len(alone) * HOP_SECONDS, len(together) * HOP_SECONDS


def _windows_alone(windows: Windows) -> IntArray:
    """Return the windows in which one person most likely speaks alone."""
    is_full = windows.speech > MIN_SHARE_SPEECH
    return np.flatnonzero(is_full & (windows.alone() > MIN_ODDS_ALONE))


def _most_alike(people: Array) -> float:
    """Return the likeness of the two people who are most alike, -1 of one alone."""
    likeness = people @ people.T
    np.fill_diagonal(likeness, -1.0)
    return float(likeness.max())


def _voices_by_output(windows: Windows, num_outputs: int) -> Array | None:
    """Return what is heard of one person where each output is the strongest, `[outputs, dims]`.

    None where one output is hardly ever the strongest.
    """
    alone = _windows_alone(windows)
    members = windows.strongest[alone, 0] == np.arange(num_outputs)[:, np.newaxis]
    if members.sum(axis=1).min() < MIN_PIECES:
        return None
    return np.stack([windows.voice(alone[each], 0) for each in members])


def _settled(timeline: Timeline, speaks: Mask, windows: Windows, people: Array) -> _Settled:
    """Return people as they are heard where they speak by what they sound like."""
    for _ in range(2):
        stretches = decide_activity(timeline, speaks, windows, people)
        heard, seconds = voices_heard(windows, stretches, len(people), timeline.num_frames)
        people = np.where(heard.any(axis=1, keepdims=True), heard, people)
    return _Settled(people, seconds, stretches)


def _in_order(people: Array, stretches: Sequence[Stretch]) -> Scene:
    """Return the scene with people numbered by who speaks first; who never speaks is left out."""
    order = list(dict.fromkeys(person for each in stretches for person, _ in each.outputs))
    place = {person: number for number, person in enumerate(order)}
    numbered = tuple(
        Stretch(each.start, each.stop, tuple(sorted((place[p], k) for p, k in each.outputs)))
        for each in stretches
    )
    turns = tuple(sorted(turn for number in range(len(order)) for turn in _turns(numbered, number)))
    return Scene(len(order), numbered, turns, people[order])


def by_outputs(scene: Scene, num_outputs: int) -> Scene:
    """Return a scene with the outputs of the separator in the place of people.

    Args:
        scene: Who speaks where; as it is if people are outputs already.
        num_outputs: Of the separator.
    """
    if scene.stretches is None:
        return scene
    frames = np.zeros((num_outputs, scene.num_people))
    swapped = []
    for each in scene.stretches:
        for person, output in each.outputs:
            frames[output, person] += each.stop - each.start
        held = tuple(sorted((output, person) for person, output in each.outputs))
        swapped.append(Stretch(each.start, each.stop, held))
    turns = tuple(sorted(turn for output in range(num_outputs) for turn in _turns(swapped, output)))
    voices = scene.voices[frames.argmax(axis=1)] * frames.any(axis=1, keepdims=True)
    return Scene(num_outputs, None, turns, np.asarray(voices, np.float32))


def _turns(stretches: Sequence[Stretch], person: int) -> list[Turn]:
    """Return the turns of one person: stretches that touch are one."""
    turns: list[Turn] = []
    for stretch in stretches:
        if all(person != who for who, _ in stretch.outputs):
            continue
        start, stop = stretch.start * FRAME_SECONDS, stretch.stop * FRAME_SECONDS
        if turns and turns[-1].stop_seconds == start:
            start = turns.pop().start_seconds
        turns.append(Turn(start, stop, person))
    return turns


def _outputs_as_people(timeline: Timeline, speaks: Mask, windows: Windows | None = None) -> Scene:
    """Return the scene in which each output of the separator is a person."""
    active = np.zeros((timeline.num_outputs, timeline.num_frames), np.bool_)
    for part in timeline.parts():
        decibels = timeline.decibels(part.start, part.stop)[1:]
        active[:, part] = speaks[part] & (decibels > decibels.max(axis=0) - WEAKEST_DB)
    active = np.stack([without_short_runs(row) for row in active])
    turns = turns_of(active, 1.0 / FRAME_SECONDS)
    voices = np.zeros((timeline.num_outputs, 0), np.float32)
    if windows is not None:
        voices = _voices_of_outputs(windows, active)
    return Scene(timeline.num_outputs, None, turns, voices)


def _voices_of_outputs(windows: Windows, active: Mask) -> Array:
    """Return what each output sounds like where it is active, `[outputs, dims]`."""
    half = round(WINDOW_SECONDS / FRAME_SECONDS / 2)
    share = np.zeros((len(windows.middles), len(active)), np.float32)
    for number, middle in enumerate(windows.middles.astype(int)):
        share[number] = active[:, max(0, middle - half) : middle + half].mean(axis=1)
    heard = [np.flatnonzero(row > MIN_SHARE_SPEECH) for row in share.T]
    return np.stack([windows.voice(each, 1 + k) for k, each in enumerate(heard)])
