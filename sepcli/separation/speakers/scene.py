"""The scene of a recording: how many people, what they sound like, who speaks when and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sepcli.separation.speakers.activity import (
    Stretch,
    decide_activity,
    speech_frames,
    voices_heard,
    without_short_runs,
)
from sepcli.separation.speakers.one_voice import (
    MIN_SHARE_SPEECH,
    one_voice_each,
    two_at_once,
    voices_by_output,
    windows_alone,
)
from sepcli.separation.speakers.people import MOST_PEOPLE, find_people
from sepcli.separation.speakers.timeline import (
    FRAME_SECONDS,
    MIXTURE,
    OUTPUTS,
    WINDOW_SECONDS,
    Timeline,
)
from sepcli.separation.speakers.turns import Mask, Turn, turns_of
from sepcli.separation.speakers.windows import Windows, look_at_windows

Array = np.ndarray[Any, np.dtype[np.float32]]

MIN_SECONDS_ALONE = 4.5  # of less, people cannot be told by their voices
MIN_SECONDS_ALONE_UNASKED = 15.0  # where nobody asked for people: overlaps look like one voice
MIN_SECONDS_TOGETHER = 1.5  # of two who speak at once, where one voice alone was found
MIN_SECONDS_OF_A_PERSON = 1.0  # who is heard for less is not counted
ALIKE = 0.7  # two voices this near are told apart by the outputs that the separator keeps them in
# Of 14 talkers alone, 3 are now and then in the other output, with a likeness of 0.94 or more.
MIN_SHARE_OF_AN_OUTPUT, ALIKE_OF_ONE = 0.12, 0.9
MIN_SHARE_OF_A_PERSON = 0.1  # of speech: of two, one may be some of the other's, or noise
# Of people, networks that know noise leave out within 2 dB alike, of noise 5 to 15 dB more.
NOISE_DB, MOST_ROUNDS = 5.0, 3
BORDER_FRAMES = 20  # where somebody else may still be heard
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
    for rounds_left in reversed(range(MOST_ROUNDS)):
        windows = look_at_windows(timeline, speaks)
        pieces, seconds_alone, seconds_together = one_voice_each(windows)
        if seconds_alone < seconds_to_tell_people(num_people, most, timeline.num_outputs):
            return _outputs_as_people(timeline, speaks, windows)
        people = find_people(pieces, num_people, most, two_at_once=two_at_once(timeline, speaks))
        settled = _settled(timeline, speaks, windows, people, are_told=num_people is not None)
        if not rounds_left or not (noise := _noise(timeline, settled)).any():
            break
        speaks = without_short_runs(speaks & ~noise)
    if num_people == 1:
        return _in_order(settled.people, settled.stretches)
    is_one = len(settled.people) == 1 and seconds_together > MIN_SECONDS_TOGETHER
    held = voices_by_output(windows, timeline.num_outputs)
    if held is not None and (is_one or _outputs_tell_better(settled, windows, held)):
        settled = _settled(timeline, speaks, windows, held, are_told=True)
    elif is_one:
        return _outputs_as_people(timeline, speaks, windows)  # one of them never speaks alone
    return _in_order(settled.people, settled.stretches)


def _noise(timeline: Timeline, settled: _Settled) -> Mask:
    """Return the frames of people who are noise: the network leaves much of them out, `[frames]`.

    Only in comparison with whom it leaves out least: some networks keep all, some little.
    """
    heard, kept = np.zeros((2, len(settled.people)))
    alone = [each for each in settled.stretches if len(each.outputs) == 1]
    for each in alone:
        ((person, _),) = each.outputs
        part = slice(each.start + BORDER_FRAMES, max(0, each.stop - BORDER_FRAMES))
        heard[person] += timeline.power(MIXTURE, part).sum()
        kept[person] += timeline.power(OUTPUTS, part).sum()
    share = np.divide(kept, heard, out=np.full(len(heard), np.inf), where=heard > 0)
    is_noise = share < share[heard > 0].max(initial=0.0) * 10.0 ** (-NOISE_DB / 10.0)
    frames = np.zeros(timeline.num_frames, np.bool_)
    for each in alone:
        frames[each.start : each.stop] = is_noise[each.outputs[0][0]]
    return frames


def _outputs_tell_better(settled: _Settled, windows: Windows, held: Array) -> bool:
    """Return whether the outputs tell people apart better than voices do.

    They do where as many sound alike, and where outputs take turns in being the strongest, unlike
    in sound, although voices tell of one person alone, or of one who hardly speaks.

    Args:
        settled: People by their voices.
        windows: As heard.
        held: What is heard of one person where each output is the strongest, `[outputs, dims]`.
    """
    are_as_many = len(settled.people) == len(held)
    if are_as_many and _most_alike(settled.people) > ALIKE:
        return True
    turns = np.bincount(windows.strongest[windows_alone(windows), 0], minlength=len(held))
    if turns.min() < MIN_SHARE_OF_AN_OUTPUT * turns.sum():
        return False
    if are_as_many:
        return bool(settled.seconds.min() < MIN_SHARE_OF_A_PERSON * settled.seconds.sum())
    return len(settled.people) == 1 and _most_alike(held) < ALIKE_OF_ONE


def _most_alike(people: Array) -> float:
    """Return the likeness of the two people who are most alike, -1 of one alone."""
    likeness = people @ people.T
    np.fill_diagonal(likeness, -1.0)
    return float(likeness.max())


def _settled(
    timeline: Timeline, speaks: Mask, windows: Windows, people: Array, *, are_told: bool
) -> _Settled:
    """Return people as they are heard where they speak by what they sound like.

    Unless it is told how many there are, who is hardly heard goes, one by one.
    """
    while True:
        for _ in range(2):
            stretches = decide_activity(timeline, speaks, windows, people)
            heard, seconds = voices_heard(windows, stretches, len(people), timeline.num_frames)
            people = np.where(heard.any(axis=1, keepdims=True), heard, people)
        if are_told or len(people) == 1 or seconds.min() >= MIN_SECONDS_OF_A_PERSON:
            return _Settled(people, seconds, stretches)
        people = np.delete(people, seconds.argmin(), axis=0)


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
