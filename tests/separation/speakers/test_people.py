"""People whose voices are at right angles, or nearly; each piece has words of its own too."""

import numpy as np
import pytest

from sepcli.separation.speakers import people
from sepcli.separation.speakers.people import Pieces, find_people, thinned, unit

DIMS = 64


def pieces_of(turns: list[tuple[int, int]], voices: np.ndarray, words: float = 0.8) -> Pieces:
    """Return pieces of turns (person, pieces): what a turn says sounds through all of it."""
    random = np.random.default_rng(0)
    found = []
    for person, number in turns:
        said = random.standard_normal((1 + number, DIMS)) * words / np.sqrt(DIMS)
        found.append(unit(voices[person] + 0.5 * said[:1] + said[1:]))
    heard = np.concatenate(found).astype(np.float32)
    return Pieces(heard, np.arange(len(heard)))


def alike(likeness: float) -> np.ndarray:
    """Return two voices."""
    voices = np.eye(2, DIMS)
    voices[1] = likeness * voices[0] + np.sqrt(1 - likeness**2) * voices[1]
    return voices


@pytest.mark.parametrize("num_people", [1, 2, 3, 5])
@pytest.mark.parametrize("is_told", [False, True])
def test_everybody_has_a_voice(num_people: int, is_told: bool) -> None:
    voices = np.eye(num_people, DIMS)
    turns = [(k % num_people, 6 + k) for k in range(4 * num_people)]
    found = find_people(pieces_of(turns, voices), num_people if is_told else None)
    assert found.shape == (num_people, DIMS)
    likeness = voices @ found.T
    assert sorted(likeness.argmax(axis=1)) == list(range(num_people))
    assert likeness.max(axis=1).min() > 0.9


def test_few_pieces_tell_little_and_many_much() -> None:
    """Pieces as alike as these are one person's where they are few, two people's if many."""
    few = find_people(pieces_of([(0, 5), (1, 5)], alike(0.7)), None)
    many = find_people(pieces_of([(0, 60), (1, 60)], alike(0.7)), None)
    assert (len(few), len(many)) == (1, 2)


@pytest.mark.parametrize("at_once", [False, True])
def test_who_speak_at_once_are_two(at_once: bool) -> None:
    heard = pieces_of([(k // 6, 5) for k in range(12)], alike(0.8), words=1.0)
    windows = np.arange(60) % (30 if at_once else 60)
    assert len(find_people(Pieces(heard.voices, windows), None)) == (2 if at_once else 1)


def test_what_is_like_nobody_is_left_out_not_taken_for_somebody() -> None:
    voices = np.eye(3, DIMS)
    heard = pieces_of([(0, 20), (1, 20), (2, people.MIN_PIECES - 1)], voices)
    for told in (None, 2):
        found = find_people(heard, told)
        assert len(found) == 2
        assert (found @ voices[2] < 0.2).all()
    assert len(find_people(heard, 3)) == 3


def test_no_more_than_the_most_are_found() -> None:
    turns = [(k, 10 + k) for k in range(6)]
    found = find_people(pieces_of(turns, np.eye(6, DIMS)), None, most=2)
    assert sorted((found @ np.eye(6, DIMS).T).argmax(axis=1)) == [4, 5]


@pytest.mark.parametrize("num_pieces", [0, 1])
def test_too_little_is_nobody_to_be_told_apart(num_pieces: int) -> None:
    heard = Pieces(np.eye(1, DIMS, dtype=np.float32)[:num_pieces], np.arange(num_pieces))
    assert len(find_people(heard, None)) == num_pieces


def test_long_recordings_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "MOST_PIECES", 50)
    windows = np.concatenate([np.arange(320), [7, 14, 35]])  # of three, two pieces
    kept = thinned(windows)
    assert np.count_nonzero(kept) <= 50
    np.testing.assert_array_equal(windows[kept][-3:], [7, 14, 35])
    assert {7, 14, 35} <= set(windows[:320][kept[:320]])
    assert thinned(windows[:50]).all()


def test_two_heard_at_once_are_one_person_only_if_much_alike() -> None:
    turns = [(0, 8), (1, 8)] * 5
    like = pieces_of(turns, alike(0.8))
    assert len(find_people(like, None)) == 1
    assert len(find_people(like, None, two_at_once=True)) == 2
    same = pieces_of([(0, 8)] * 10, alike(0.8))
    assert len(find_people(same, None, two_at_once=True)) == 1
