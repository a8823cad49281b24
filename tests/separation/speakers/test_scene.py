"""Scenes whose truth is made: voices at right angles, levels as a good separator gives them."""

import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from sepcli.evaluation.diarization import diarization_error
from sepcli.separation.speakers import activity, people, timeline, windows
from sepcli.separation.speakers import scene as module
from sepcli.separation.speakers.activity import Stretch
from sepcli.separation.speakers.people import find_people
from sepcli.separation.speakers.scene import Scene, by_outputs, understand
from sepcli.separation.speakers.timeline import (
    FLOOR_DB,
    STEP_DB,
    VOICE_STEPS,
    WINDOW_SECONDS,
    Timeline,
)
from sepcli.separation.speakers.turns import Turn

DIMS = 16
SILENT_DB, SPEECH_DB, LEAKED_DB = FLOOR_DB, -30.0, -60.0


EACH_ALONE = np.eye(DIMS)  # voices at right angles


def heard(
    turns: tuple[tuple[int, int, float, float], ...],
    seconds: float,
    sounds: np.ndarray = EACH_ALONE,
) -> Timeline:
    """Return what is heard of turns (person, output, start, stop); windows hear who fills them.

    `sounds` are what people sound like, `[people, dims]`.
    """
    num_frames = round(100 * seconds)
    levels = np.full((3, num_frames), SILENT_DB)
    holds = np.full((3, num_frames), -1)  # whose voice is loudest in each signal
    for person, output, start, stop in turns:
        span = slice(round(100 * start), round(100 * stop))
        levels[0, span] = SPEECH_DB
        other = levels[2 - output, span]
        levels[2 - output, span] = np.maximum(other, LEAKED_DB)
        levels[1 + output, span] = SPEECH_DB
        holds[1 + output, span] = person
        holds[0, span] = person
    starts = np.arange(0, num_frames - round(100 * WINDOW_SECONDS) + 1, 50)
    random = np.random.default_rng(0)
    voices = np.zeros((len(starts), 3, DIMS))
    for number, start in enumerate(starts):
        inside = holds[:, start : start + round(100 * WINDOW_SECONDS)]
        for signal, row in enumerate(inside):
            for person in row[row >= 0]:
                voices[number, signal] += sounds[person]
        both = (inside[1] >= 0) & (inside[2] >= 0)
        if not both.any():  # what leaks sounds like who speaks
            voices[number, 1:] = voices[number, 0]
    voices += (
        0.05 * np.linalg.norm(voices, axis=2, keepdims=True) * random.standard_normal(voices.shape)
    )
    voices /= np.maximum(np.linalg.norm(voices, axis=2, keepdims=True), 1e-9)
    steps = np.clip(np.round(voices * VOICE_STEPS), -127, 127)
    return Timeline(
        np.round((levels - FLOOR_DB) / STEP_DB).astype(np.uint8), starts, steps.astype(np.int8)
    )


THREE = (
    (0, 0, 0.0, 6.0),
    (1, 1, 5.0, 11.0),
    (2, 0, 12.0, 18.0),
    (0, 1, 19.0, 24.0),
    (1, 0, 23.0, 29.0),
    (2, 1, 30.0, 35.0),
)


@pytest.mark.parametrize("known", [3, None])
def test_three_people_share_two_outputs(known: int | None) -> None:
    scene = understand(heard(THREE, 36.0), known)
    assert scene.num_people == 3
    truth = [Turn(start, stop, person) for person, _, start, stop in THREE]
    # borders are told to 0.1 s where two overlap, and to 0.05 s at pauses
    assert diarization_error(scene.turns, truth).rate < 0.08
    assert scene.stretches is not None
    places = {dict(s.outputs)[0] for s in scene.stretches if 0 in dict(s.outputs)}
    assert places == {0, 1}  # the first person is heard in both, one after the other


def test_people_are_numbered_by_who_speaks_first() -> None:
    scene = understand(heard(THREE, 36.0), 3)
    first = [min(t.start_seconds for t in scene.turns if t.speaker == k) for k in range(3)]
    assert first == sorted(first)


def test_one_person_is_not_split() -> None:
    alone = tuple((0, n % 2, 6.0 * n, 6.0 * n + 5.0) for n in range(5))
    scene = understand(heard(alone, 31.0), None, most=2)
    assert scene.num_people == 1
    assert {turn.speaker for turn in scene.turns} == {0}


def test_one_output_is_one_person() -> None:
    both = heard(((0, 0, 0.0, 30.0),), 30.0)
    alone = Timeline(both.levels[:2], both.starts, both.voices[:, :2])
    assert understand(alone, 1).num_people == 1


@pytest.mark.parametrize(("seconds", "is_near"), [(0.0, False), (2.0, False), (6.0, True)])
def test_two_who_are_loud_at_once_are_harder_to_take_for_one(
    seconds: float, is_near: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    def watched(*given: Any, two_at_once: bool) -> Any:
        told.append(two_at_once)
        return find_people(*given, two_at_once=two_at_once)

    monkeypatch.setattr(module, "find_people", watched)
    understand(heard(((0, 0, 0.0, 20.0), (1, 1, 20.0 - seconds, 30.0)), 30.0), None)
    assert told == [is_near]


def test_two_who_sound_alike_are_told_by_where_they_are() -> None:
    # voices that change more with the mood than from person to person: clusters are moods
    alike, calm, cross, one, other = np.eye(5, DIMS)
    sounds = np.stack(
        [3.0 * alike + p + m for p in (0.8 * one, 0.8 * other) for m in (calm, cross)]
    )
    turns = tuple((2 * (n % 2) + (n // 2) % 2, n % 2, 5.0 * n, 5.0 * n + 4.5) for n in range(8))
    scene = understand(heard(turns, 40.0, sounds), 2)
    truth = [Turn(start, stop, sound // 2) for sound, _, start, stop in turns]
    assert diarization_error(scene.turns, truth).confusion_seconds < 1.0


@pytest.mark.parametrize(("seconds", "likeness"), [(6.5, 1.3), (4.5, 2.5)])  # overlapping or not
def test_two_who_are_taken_for_one_voice_are_told_by_where_they_are(
    seconds: float, likeness: float
) -> None:
    alike, one, other = np.eye(3, DIMS)
    sounds = np.stack([likeness * alike + one, likeness * alike + other])
    turns = tuple((n % 2, n % 2, 5.0 * n, 5.0 * n + seconds) for n in range(8))
    scene = understand(heard(turns, 42.0, sounds), None, most=2)
    assert scene.stretches is not None
    truth = [Turn(start, stop, person) for person, _, start, stop in turns]
    assert diarization_error(scene.turns, truth).confusion_seconds < 1.0


def test_two_who_are_taken_for_one_voice_beside_a_cough_are_told_by_where_they_are() -> None:
    alike, one, other, cough = np.eye(4, DIMS)
    sounds = np.stack([2.5 * alike + one, 2.5 * alike + other, cough])
    turns = tuple((n % 2, n % 2, 5.0 * n, 5.0 * n + 4.5) for n in range(8))
    scene = understand(heard((*turns, (2, 0, 40.0, 43.0)), 44.0, sounds), None, most=2)
    truth = [Turn(start, stop, person) for person, _, start, stop in turns]
    assert scene.num_people == 2
    assert diarization_error(scene.turns, truth).confusion_seconds < 1.0


@pytest.mark.parametrize("kept_db", [0.0, -7.0])
@pytest.mark.parametrize(("known", "likeness"), [(None, 0.0), (2, 2.5)])
def test_noise_is_nobody_if_the_network_leaves_it_out(
    known: int | None, likeness: float, kept_db: float
) -> None:
    alike, one, other, unlike = np.eye(4, DIMS)
    sounds = np.stack([likeness * alike + one, likeness * alike + other, unlike])
    people = tuple((n % 2, n % 2, 6.0 * n, 6.0 * n + 3.0) for n in range(8))
    noise = tuple((2, 1, 6.0 * n + 3.5, 6.0 * n + 5.5) for n in range(8))
    timeline = heard(people + noise, 48.0, sounds)
    for _, _, start, stop in noise:
        span = slice(round(100 * start), round(100 * stop))
        loud = SPEECH_DB - 15.0
        timeline.levels[:, span] = [
            [round((each - FLOOR_DB) / STEP_DB)] for each in (loud, SILENT_DB, loud + kept_db)
        ]
    scene = understand(timeline, known)
    truth = [Turn(start, stop, person) for person, _, start, stop in people]
    error = diarization_error(scene.turns, truth)
    if kept_db == 0.0:  # it could be a voice
        assert error.false_alarm_seconds > 10.0
    else:
        assert scene.num_people == 2
        assert error.false_alarm_seconds < 6.0  # at the borders of 16 s of noise
        assert error.missed_seconds + error.confusion_seconds < 1.0


def test_noise_is_told_where_its_first_stretch_is_shorter_than_borders() -> None:
    timeline = heard(((0, 0, 0.0, 4.0),), 8.0)
    loud = [[round((each - FLOOR_DB) / STEP_DB)] for each in (-45.0, SILENT_DB, -55.0)]
    timeline.levels[:, 400:] = loud
    stretches = (
        Stretch(0, 10, ((1, 1),)),
        Stretch(10, 400, ((0, 0),)),
        Stretch(400, 800, ((1, 1),)),
    )
    settled = module._Settled(np.eye(2, DIMS, dtype=np.float32), np.array([3.9, 4.1]), stretches)
    noise = module._noise(timeline, settled)
    assert noise.tolist() == [True] * 10 + [False] * 390 + [True] * 400


def test_two_who_sound_unlike_are_told_by_their_voices_wherever_they_are() -> None:
    turns = tuple((n % 2, int(n in (1, 2, 5, 6)), 5.0 * n, 5.0 * n + 4.5) for n in range(8))
    scene = understand(heard(turns, 40.0), 2)
    truth = [Turn(start, stop, person) for person, _, start, stop in turns]
    assert diarization_error(scene.turns, truth).confusion_seconds < 1.0


def test_who_always_overlaps_is_left_to_the_separator() -> None:
    scene = understand(heard(((0, 0, 0.0, 9.0), (1, 1, 0.5, 9.0)), 10.0), None, most=2)
    assert scene.stretches is None
    assert scene.num_people == 2
    # each output still sounds like one person
    assert scene.voices.shape == (2, DIMS)
    assert scene.voices[0, 0] > 0.9
    assert scene.voices[1, 1] > 0.9


def test_silence_is_nobody() -> None:
    scene = understand(heard((), 10.0), None, most=2)
    assert scene.turns == ()
    assert not scene.voices.any()


@pytest.mark.parametrize(
    ("seconds", "most", "is_told"), [(8.0, 2, False), (8.0, 8, True), (20.0, 2, True)]
)
def test_short_recordings_stay_as_they_are_unless_people_are_asked_for(
    seconds: float, most: int, is_told: bool
) -> None:
    half = seconds / 2
    timeline = heard(((0, 0, 0.0, half), (1, 1, half, seconds)), seconds)
    assert (understand(timeline, None, most).stretches is not None) == is_told


@dataclass(frozen=True)
class Again:
    """Voices that are heard again and again, so that hours of them take no memory."""

    once: np.ndarray
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.once[np.arange(*part.indices(len(self))) % len(self.once)]


@pytest.mark.parametrize("pause", [0.0, 2.0])
def test_memory_hardly_grows_with_hours(pause: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "MOST_PIECES", 50)  # what is clustered does not grow
    monkeypatch.setattr(timeline, "FRAMES_AT_ONCE", 2000)
    monkeypatch.setattr(activity, "MOST_FRAMES", 2000)
    monkeypatch.setattr(activity, "MOST_STEPS", 100)
    for each in (activity, windows):
        monkeypatch.setattr(each, "BLOCK", 50)
    length = 6.0 + pause
    turns = tuple((k % 2, k % 2, length * k, length * k + 6.0) for k in range(6))
    once = heard(turns, 6 * length)
    num_windows = len(once.starts) // 2 * 2

    def peak_of(seconds: float) -> int:
        """Return what the decision takes at its highest, beside what was heard [bytes]."""
        levels = np.tile(once.levels, round(seconds / (6 * length)))
        starts = np.arange(0, levels.shape[1] - 150, 50)
        voices = Again(once.voices[:num_windows], (len(starts), *once.voices.shape[1:]))
        tracemalloc.start()
        assert understand(Timeline(levels, starts, voices), 2).num_people == 2
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_of(72)  # what is loaded first is not of the recording
    grown = peak_of(360) - peak_of(120)
    # 100 frames a second in a few masks, and two windows of 40 bytes; turns are objects
    assert grown < 240 * 700


def test_outputs_take_the_place_of_the_people_in_them() -> None:
    stretches = (
        Stretch(0, 200, ((0, 1),)),
        Stretch(200, 300, ((0, 1), (1, 0))),
        Stretch(300, 350, ((2, 0),)),
    )
    scene = by_outputs(Scene(3, stretches, (), np.eye(3, dtype=np.float32)), 2)
    assert scene.stretches is None
    assert scene.turns == (Turn(0.0, 3.0, 1), Turn(2.0, 3.5, 0))
    np.testing.assert_array_equal(scene.voices, np.eye(3)[[1, 0]])  # of who is in it longest
    assert by_outputs(scene, 2) is scene
    silent = by_outputs(Scene(1, stretches[:1], (), np.ones((1, 3), np.float32)), 2)
    np.testing.assert_array_equal(silent.voices, [[0, 0, 0], [1, 1, 1]])
