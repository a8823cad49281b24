"""Mixtures: sums, levels, rooms and noise as asked for, and the same for the same seed."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sepcli.errors import UsageError
from sepcli.training.dataset import Speech, Waveform, find_speech, read_speech
from sepcli.training.recipe import DataRecipe
from sepcli.training.simulate import (
    Surroundings,
    Weights,
    _draw_speakers,
    _drawing_order,
    draw_mixture,
    group_rooms,
    pause,
    speaker_weights,
    take_turns,
)

from .conftest import RATE

NOTHING = Surroundings()
PLAIN = DataRecipe(train="")
SAMPLES = 6000  # longer than every recording, so utterances are joined


@pytest.fixture
def speech(speech_folder: Path) -> Speech:
    return read_speech(find_speech(speech_folder), RATE)


def even(speech: Speech) -> Weights:
    return np.full(len(speech.speakers), 1 / len(speech.speakers))


def draw(
    speech: Speech,
    recipe: DataRecipe = PLAIN,
    seed: int = 0,
    num_speakers: int = 2,
    surroundings: Surroundings = NOTHING,
    num_samples: int = SAMPLES,
) -> tuple[Waveform, Waveform]:
    return draw_mixture(
        speech,
        recipe,
        np.random.default_rng(seed),
        num_speakers=num_speakers,
        num_samples=num_samples,
        weights=even(speech),
        surroundings=surroundings,
    )


def level_db(signal: Waveform) -> float:
    return float(10 * np.log10(np.square(signal, dtype=float).mean()))


def test_a_recording_that_is_long_enough_is_heard_without_pauses(speech: Speech) -> None:
    signals = tuple((np.full(5000, 9000, np.int16),) for _ in speech.speakers)
    steady = dataclasses.replace(
        speech, signals=(signals,), weights=((1.0,),) * len(speech.speakers)
    )
    for seed in range(20):
        _, references = draw(steady, seed=seed, num_samples=4000)
        assert np.ptp(np.abs(references), axis=-1).max() < 1e-6


@pytest.mark.parametrize("num_speakers", [2, 3])
@pytest.mark.parametrize("num_samples", [300, SAMPLES, 30_000])
def test_references_add_up_to_the_mixture(
    speech: Speech, num_speakers: int, num_samples: int
) -> None:
    mixture, references = draw(speech, num_speakers=num_speakers, num_samples=num_samples)
    assert references.shape == (num_speakers, num_samples)
    assert mixture.dtype == references.dtype == np.float32
    np.testing.assert_allclose(references.sum(0), mixture, atol=1e-6)


def test_levels_differ_as_asked_for(speech: Speech) -> None:
    recipe = dataclasses.replace(PLAIN, level_db=5.0)
    differences = []
    for seed in range(200):
        _, (first, second) = draw(speech, recipe, seed)
        differences.append(level_db(first) - level_db(second))
    assert -5.01 < min(differences) < -4 and 4 < max(differences) < 5.01
    assert abs(np.mean(differences)) < 0.7  # 200 draws of ±5 have a standard error of 0.2


def test_the_same_seed_gives_the_same_bytes(speech: Speech) -> None:
    again = [draw(speech, seed=5)[0].tobytes() for _ in range(2)]
    assert again[0] == again[1] != draw(speech, seed=6)[0].tobytes()


def test_two_hidden_speakers_of_one_pool_never_meet(speech: Speech) -> None:
    likely = np.array([0.45, 0.45, 0.05, 0.05])
    for seed in range(40):
        rng = np.random.default_rng(seed)
        voices = _draw_speakers(speech, ("corpus0",), likely, 2, rng)
        assert sum("corpus0" in speech.speakers[voice] for voice in voices) <= 1
    together = [
        _draw_speakers(speech, (), likely, 2, np.random.default_rng(seed)) for seed in range(40)
    ]
    assert any(set(voices) == {0, 1} for voices in together)


def test_weights_are_shared_within_a_group(speech: Speech) -> None:
    recipe = dataclasses.replace(PLAIN, weights={"corpus0": 0.9, "corpus1": 0.1})
    assert speaker_weights(speech, recipe).tolist() == pytest.approx([0.45, 0.45, 0.05, 0.05])
    assert speaker_weights(speech, PLAIN).tolist() == pytest.approx([0.25] * 4)


def test_noise_has_the_asked_level(speech: Speech) -> None:
    noise = np.random.default_rng(0).standard_normal(700).astype(np.float32)
    recipe = dataclasses.replace(PLAIN, noise_share=1.0, noise_db=(7.0, 7.0))
    mixture, references = draw(speech, recipe, surroundings=Surroundings(noises=(noise,)))
    speech_only = references.sum(0)
    assert level_db(speech_only) - level_db(mixture - speech_only) == pytest.approx(7, abs=0.01)


def test_rooms_stay_aligned_and_references_reverberate(speech: Speech) -> None:
    response = np.zeros(400, np.float32)
    response[[50, 250]] = 1.0, 0.5
    rooms = group_rooms({"a_1.wav": response, "a_2.wav": response, "b_1.wav": response}, RATE)
    assert len(rooms) == 1 and [int(np.abs(r).argmax()) for r in rooms[0]] == [8, 8]
    wet_recipe = dataclasses.replace(PLAIN, room_share=1.0)
    wet = draw(speech, wet_recipe, surroundings=Surroundings(rooms=rooms))[1]
    # The same draws but for the room: a response that is nothing but direct sound.
    direct = np.zeros(400, np.float32)
    direct[50] = 1.0
    plain = group_rooms({"a_1.wav": direct, "a_2.wav": direct}, RATE)
    dry = draw(speech, wet_recipe, surroundings=Surroundings(rooms=plain))[1]
    assert wet.shape == dry.shape
    echoed = dry[0] + 0.5 * np.concatenate([np.zeros(200), dry[0][:-200]])
    scale = (wet[0] @ echoed) / (echoed @ echoed)
    np.testing.assert_allclose(wet[0], scale * echoed, atol=1e-4)


@pytest.mark.parametrize(
    "names",
    [("kitchen_1", "church_1"), ("kitchen", "church"), ("big_hall/1", "big_church/1")],
)
def test_responses_of_different_rooms_are_no_room(names: tuple[str, str]) -> None:
    response = np.ones(4, np.float32)
    with pytest.raises(UsageError, match="no room with responses from two places"):
        group_rooms({f"{name}.wav": response for name in names}, RATE)
    assert group_rooms({}, RATE) == ()


def turns(seed: int, **shares: float) -> Waveform:
    """References of ones, so that what is left of them is what was kept."""
    recipe = dataclasses.replace(PLAIN, partial_overlap=(0.2, 0.2), **shares)  # type: ignore[arg-type]
    ones = np.ones((3, 4000), np.float32)
    return take_turns(ones, recipe, RATE, np.random.default_rng(seed))


def test_one_speaks_alone_as_often_as_asked_for() -> None:
    kept = [turns(seed, alone_share=0.3).min(1) for seed in range(300)]
    alone = [list(row).count(1) for row in kept]
    assert set(alone) == {1, 3}
    assert 0.2 < alone.count(1) / 300 < 0.4  # 0.3 with a standard error of 0.026
    assert {int(row.argmax()) for row in kept if row.sum() == 1} == {0, 1, 2}


def test_turns_overlap_as_long_as_asked_for() -> None:
    for seed in range(20):
        two = turns(seed, partial_share=1.0)[:2]
        assert two.shape == (2, 4000)
    recipe = dataclasses.replace(PLAIN, partial_share=1.0, partial_overlap=(0.2, 0.2))
    for seed in range(20):
        ones = np.ones((2, 4000), np.float32)
        heard = take_turns(ones, recipe, RATE, np.random.default_rng(seed))
        both = int((heard.min(0) > 0).sum())
        assert abs(both - 800) <= 2  # rounding of both ends
        assert (heard.max(0) == 1).mean() > 0.95  # somebody speaks, but for the fades


def test_recordings_are_drawn_by_weight_each_once_a_round() -> None:
    rng = np.random.default_rng(0)
    drawn = [list(_drawing_order((0.9, 0.1), 2, rng)) for _ in range(400)]
    assert all(sorted(order[:2]) == sorted(order[2:]) == [0, 1] for order in drawn)
    first = sum(order[0] == 0 for order in drawn) / 400
    assert 0.85 < first < 0.95  # 0.9 with a standard error of 0.015


def test_in_a_pause_nobody_speaks_and_nothing_else_changes() -> None:
    recipe = dataclasses.replace(PLAIN, pause_share=1.0, pause_seconds=(0.2, 0.4))
    spoken = np.ones((2, 2 * RATE), np.float32)
    lengths, at_an_end = [], 0
    for seed in range(200):
        heard = pause(spoken, recipe, RATE, np.random.default_rng(seed))
        assert np.array_equal(heard[0], heard[1])
        silent = np.flatnonzero(heard[0] == 0)
        assert (np.diff(silent) == 1).all()
        lengths.append(len(silent) / RATE)
        at_an_end += int(silent[0] == 0 or silent[-1] == 2 * RATE - 1)
        assert (heard[0] == 1).sum() >= 2 * RATE - len(silent) - 2 * 0.01 * RATE - 2
    assert 0.09 < min(lengths) < 0.2 < max(lengths) <= 0.401  # half of it may lie outside
    assert 15 < at_an_end < 50  # 15 % of them


def test_without_a_share_no_pause_is_drawn() -> None:
    rng, spoken = np.random.default_rng(2), np.ones((2, RATE), np.float32)
    assert pause(spoken, PLAIN, RATE, rng) is spoken
    assert rng.random() == np.random.default_rng(2).random()


def test_noise_goes_on_in_a_pause(speech: Speech) -> None:
    recipe = dataclasses.replace(
        PLAIN, pause_share=1.0, pause_seconds=(0.3, 0.3), noise_share=1.0, noise_db=(0.0, 0.0)
    )
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    mixture, references = draw(speech, recipe, 3, surroundings=Surroundings((noise,)))
    silent = (references == 0).all(0)
    assert silent.sum() > 0.1 * RATE
    assert level_db(mixture[silent]) > level_db(mixture) - 6
