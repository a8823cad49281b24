from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sepcli.separation.speakers.turns import Turn, runs, turns_of


@given(st.lists(st.booleans(), max_size=30))
def test_runs_are_all_that_is_true(values: list[bool]) -> None:
    mask = np.array(values, bool)
    again = np.zeros(len(mask), bool)
    found = runs(mask)
    for start, stop in found:
        assert start < stop
        again[start:stop] = True
    assert (again == mask).all()
    assert all(later[0] > earlier[1] for earlier, later in pairwise(found))


def test_turns_come_in_order_of_time() -> None:
    active = np.array([[0, 1, 1, 0, 0, 1], [1, 1, 0, 0, 0, 0]], bool)
    assert turns_of(active, 10.0) == (Turn(0.0, 0.2, 1), Turn(0.1, 0.3, 0), Turn(0.5, 0.6, 0))
