from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepcli.errors import ModelError
from sepcli.separation.speakers import assignment
from sepcli.separation.speakers.assignment import solve_order
from sepcli.separation.speakers.evidence import ChunkEvidence

LENGTH = 8_000  # of a chunk; one begins every 7000 samples


def chunk(number, voices, *, seconds=None, agreement=None, trust=None):
    """Return evidence of a chunk whose outputs have these voices; zero voices are silent."""
    voices = np.array(voices, np.float32)
    heard = np.linalg.norm(voices, axis=1) > 0
    num_speakers = len(voices)
    if agreement is None:
        agreement = np.zeros((num_speakers, num_speakers))
    return ChunkEvidence(
        start=7_000 * number,
        stop=7_000 * number + LENGTH,
        voices=voices,
        trust=np.array(heard if trust is None else trust, np.float32),
        seconds=np.array(3.0 * heard if seconds is None else seconds, np.float32),
        onsets=np.where(heard, 7_000 * number, 7_000 * number + LENGTH),
        power=np.ones(num_speakers, np.float32),
        agreement=np.array(agreement, np.float32),
    )


def shuffled(num_chunks, num_speakers, seed, silent=0.3, noise=0.3):
    """Return evidence in random order, and whose each output is, `[chunks, speakers]`."""
    rng = np.random.default_rng(seed)
    whose = np.array([rng.permutation(num_speakers) for _ in range(num_chunks)])
    evidence = []
    for number, outputs in enumerate(whose):
        voices = np.eye(num_speakers, 16)[outputs] + noise / 4 * rng.standard_normal(
            (num_speakers, 16)
        )
        voices /= np.linalg.norm(voices, axis=1, keepdims=True)
        evidence.append(chunk(number, voices * (rng.random((num_speakers, 1)) >= silent)))
    return evidence, whose


@given(st.integers(1, 4), st.integers(1, 40), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_voices_find_their_place_in_any_order(num_speakers, num_chunks, seed):
    evidence, whose = shuffled(num_chunks, num_speakers, seed)
    order = solve_order(evidence, num_speakers)
    assert sorted(order.orders[0]) == list(range(num_speakers))
    places = {}
    for number, each in enumerate(evidence):
        for place, output in enumerate(order.orders[number]):
            if each.trust[output]:
                places.setdefault(whose[number][output], set()).add(place)
    assert all(len(where) == 1 for where in places.values())
    assert len(set.union(*places.values(), set())) == len(places)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_path_is_the_best_of_all_paths(seed):
    rng = np.random.default_rng(seed)
    evidence = [
        chunk(n, np.eye(2, 4), agreement=rng.uniform(0, 1, (2, 2)), trust=[0, 0]) for n in range(6)
    ]
    order = solve_order(evidence, 2)

    def score(path):
        return sum(
            evidence[n].agreement[path[n - 1][place], path[n][place]]
            for n in range(1, 6)
            for place in range(2)
        )

    best = max(score(path) for path in product(list(permutations(range(2))), repeat=6))
    assert score([tuple(each) for each in order.orders]) == pytest.approx(best)


def test_margin_is_the_score_lost_by_going_on_otherwise():
    seams = [[[0, 0], [0, 0]], [[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.4], [0.4, 0.5]]]
    evidence = [chunk(n, np.eye(2, 4), agreement=m, trust=[0, 0]) for n, m in enumerate(seams)]
    order = solve_order(evidence, 2)
    weight = assignment.AGREEMENT_WEIGHT
    np.testing.assert_allclose(order.margins, [np.inf, 1.4 * weight, 0.2 * weight], rtol=1e-5)
    assert [(each.start, each.stop) for each in order.uncertain] == [(14_000, 22_000)]
    assert order.uncertain[0].margin == order.margins[2]


def test_exchanging_silent_outputs_is_not_uncertain():
    voice = [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    order = solve_order([chunk(n, voice) for n in range(5)], 3)
    assert order.uncertain == ()
    assert order.num_voices == 1
    assert (order.orders[:, 0] == 0).all()


def test_weak_evidence_between_strong_one_is_named():
    first, second = [1.0, 0.0], [0.0, 1.0]
    evidence = [chunk(n, [first, second]) for n in range(6)]
    evidence[3] = chunk(3, [first, second], trust=[0.01, 0.01])
    order = solve_order(evidence, 2)
    assert {each.start for each in order.uncertain} == {21_000, 28_000}  # into it and out of it


def test_one_voice_is_not_split_into_two_places():
    rng = np.random.default_rng(0)
    evidence = []
    for number in range(40):
        voice = np.eye(1, 16)[0] + 0.1 * rng.standard_normal(16)
        outputs = np.zeros((2, 16))
        outputs[rng.integers(2)] = voice / np.linalg.norm(voice)
        evidence.append(chunk(number, outputs))
    order = solve_order(evidence, 2)
    assert order.num_voices == 1


def test_alike_voices_heard_together_stay_two():
    one, other = [1.0, 0.0, 0.0], [0.95, 0.3122, 0.0]
    evidence = [chunk(n, [one, other] if n % 3 else [other, one]) for n in range(30)]
    order = solve_order(evidence, 2)
    assert order.num_voices == 2
    assert len({tuple(o[::-1]) if n % 3 else tuple(o) for n, o in enumerate(order.orders)}) == 1


def test_noise_in_a_pause_is_no_voice():
    speech = [chunk(n, [[1.0, 0.0], [0.0, 0.0]]) for n in range(4)]
    pause = chunk(4, [[0.0, 0.0], [0.0, 1.0]])
    faint = replace(pause, power=np.full(2, 1e-4, np.float32))
    assert solve_order([*speech, faint], 2).num_voices == 1


def test_a_recording_of_hours_is_solved_like_a_short_one():
    evidence, whose = shuffled(1_000, 2, seed=0)
    order = solve_order(evidence, 2)
    held = np.take_along_axis(whose, order.orders, axis=1)
    heard = np.array([each.trust for each in evidence])
    heard = np.take_along_axis(heard, order.orders, axis=1) > 0
    assert len(set(held[:, 0][heard[:, 0]])) == 1


def test_many_speakers_go_through_in_one_chunk_only():
    evidence = [chunk(n, np.eye(6)) for n in range(2)]
    assert solve_order(evidence[:1], 6).orders.tolist() == [[0, 1, 2, 3, 4, 5]]
    with pytest.raises(ModelError, match="more than 5 speakers") as caught:
        solve_order(evidence, 6)
    assert "--chunk" in caught.value.hint
