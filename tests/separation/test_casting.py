import numpy as np
import pytest

from sepcli.separation.casting import Cast, cast_everybody, cast_only
from sepcli.separation.speakers import Recognised, Turn

NOBODY = Recognised()
ALICE, BOB = Recognised("alice", 0.8), Recognised("bob", 0.7)


def unknown(num_people: int, num_files: int) -> Cast:
    return cast_everybody([NOBODY] * num_people, num_files)


def test_nobody_is_lost_where_there_are_fewer_files_than_people() -> None:
    people = np.float32([[1, 0], [2, 3], [0, 5]])
    assert unknown(3, 2).in_files(people).tolist() == [[1, 0], [2, 8]]
    assert unknown(3, 1).in_files(people).tolist() == [[3, 8]]
    assert unknown(3, 4).in_files(people).tolist() == [[1, 0], [2, 3], [0, 5], [0, 0]]


def test_turns_are_those_of_files() -> None:
    turns = (Turn(0, 2, 0), Turn(1, 3, 1), Turn(2.5, 4, 2), Turn(4, 5, 1), Turn(6, 7, 2))
    assert unknown(3, 3).turns_in_files(turns) == turns
    assert unknown(3, 2).turns_in_files(turns) == (Turn(0, 2, 0), Turn(1, 5, 1), Turn(6, 7, 1))
    assert unknown(3, 1).turns_in_files(turns) == (Turn(0, 5, 0), Turn(6, 7, 0))
    within = (Turn(0, 9, 1), Turn(1, 2, 2))
    assert unknown(3, 2).turns_in_files(within) == (Turn(0, 9, 1),)


@pytest.mark.parametrize(
    ("people", "num_files", "names"),
    [
        ([NOBODY, ALICE, NOBODY], 3, ("spk1", "alice", "spk3")),
        ([BOB, ALICE], 2, ("bob", "alice")),
        ([ALICE], 2, ("alice", "spk2")),
        ([ALICE, BOB, NOBODY], 2, ("alice", "spk2")),  # with somebody else in one file
    ],
)
def test_files_are_called_after_who_is_recognised_and_alone_in_them(
    people: list[Recognised], num_files: int, names: tuple[str, ...]
) -> None:
    assert cast_everybody(people, num_files).names == names


def test_one_person_alone_is_cast_whatever_their_place() -> None:
    cast = cast_only([NOBODY, ALICE, BOB], "alice")
    assert (cast.names, cast.recognised) == (("alice",), (ALICE,))
    assert cast.in_files(np.float32([[1, 0], [2, 3], [0, 5]])).tolist() == [[2, 3]]
    assert cast.turns_in_files((Turn(0, 2, 0), Turn(1, 3, 1))) == (Turn(1, 3, 0),)


def test_who_is_not_heard_has_no_file() -> None:
    cast = cast_only([NOBODY, BOB], "alice")
    assert cast.names == ()
    assert cast.in_files(np.ones((2, 5), np.float32)).shape == (0, 5)
    assert cast.turns_in_files((Turn(0, 2, 0),)) == ()
