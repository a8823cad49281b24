import tracemalloc

import numpy as np
import pytest

from sepcli.errors import ModelError
from sepcli.separation.chunking import Chunk
from sepcli.separation.speakers import SpeakerTracker
from tests.separation.speakers.talk import RATE, conversation, embed, hum, misplaced, separated


def track(sources, embed_with=embed, **how):
    items = list(separated(sources, **how))
    tracker = SpeakerTracker(len(sources), RATE, embed_with)
    for chunk, mixture, estimates, _ in items:
        tracker.add(chunk, mixture, estimates)
    order = tracker.solve()
    return order, misplaced(sources, items, order.orders)


def alternate(seconds, turn, pause, num_speakers=2):
    """Speakers take turns; nobody speaks for `pause` seconds between them."""
    turns, now, speaker = [], 0.0, 0
    while now + turn <= seconds:
        turns.append((speaker, now, now + turn))
        now += turn + pause
        speaker = (speaker + 1) % num_speakers
    return conversation(turns, seconds, num_speakers)


@pytest.mark.parametrize("embed_with", [embed, None])
@pytest.mark.parametrize("num_speakers", [2, 3, 4])
def test_everybody_at_once(num_speakers, embed_with):
    sources = conversation([(k, 0, 40) for k in range(num_speakers)], 40, num_speakers)
    order, wrong = track(sources, embed_with, leakage=0.05)
    assert wrong == 0.0
    assert order.num_voices == num_speakers


@pytest.mark.parametrize("num_speakers", [2, 3])
@pytest.mark.parametrize("pause", [-0.5, 0.5, 3.0, 6.0])
def test_turns_with_pauses_shorter_and_longer_than_the_overlap(num_speakers, pause):
    order, wrong = track(alternate(120, 2.5, pause, num_speakers))
    assert wrong == 0.0
    assert order.num_voices == num_speakers


def test_overlaps_alone_cannot_bridge_pauses_and_say_so():
    sources = alternate(120, 2.5, 3.0)
    order, wrong = track(sources, None)
    assert wrong > 0.1
    assert order.uncertain


def test_somebody_silent_for_minutes_comes_back_to_the_same_file():
    first = [(0, t, t + 3.0) for t in range(0, 240, 4)]
    second = [(1, t + 2.0, t + 4.5) for t in (*range(0, 20, 6), *range(200, 236, 6))]
    order, wrong = track(conversation(first + second, 240, 2))
    assert wrong == 0.0
    assert order.num_voices == 2


@pytest.mark.parametrize("num_speakers", [2, 3])
def test_one_speaker_stays_in_one_file(num_speakers):
    sources = conversation([(0, t, t + 3.5) for t in range(0, 118, 6)], 120, num_speakers)
    order, wrong = track(sources)
    assert wrong == 0.0
    assert order.num_voices == 1


def test_voices_that_sound_the_same_are_told_apart_by_overlaps():
    def same_for_everyone(samples, sample_rate):
        return np.array([0.6, 0.8], np.float32)

    order, wrong = track(alternate(120, 4.0, -1.5), same_for_everyone, overlap=2.0)
    assert wrong == 0.0
    assert order.num_voices == 2


def test_places_are_sorted_by_who_speaks_first():
    turns = [(2, 0.0, 3.0), (0, 3.2, 6.0), (1, 6.2, 9.0)] + [(k, 10 + 4 * k, 14) for k in range(2)]
    sources = conversation(turns, 24, 3)
    items = list(separated(sources))
    tracker = SpeakerTracker(3, RATE, embed)
    for chunk, mixture, estimates, _ in items:
        tracker.add(chunk, mixture, estimates)
    whose = items[0][3]
    assert whose[tracker.solve().orders[0]][0] == 2


def test_who_speaks_first_within_a_chunk_has_the_first_place():
    sources = conversation([(1, 0.2, 1.8), (0, 2.0, 3.8)], 4, 2)
    for outputs in ([0, 1], [1, 0]):
        tracker = SpeakerTracker(2, RATE, embed)
        tracker.add(Chunk(0, 4000), sources.sum(0), sources[outputs])
        (order,) = tracker.solve().orders
        assert np.array(outputs)[order].tolist() == [1, 0]


def test_the_level_of_estimates_changes_nothing():
    sources = alternate(60, 2.5, 0.5)
    items = list(separated(sources))
    trackers = [SpeakerTracker(2, RATE, embed) for _ in range(2)]
    for chunk, mixture, estimates, _ in items:
        trackers[0].add(chunk, mixture, estimates)
        trackers[1].add(chunk, mixture, np.array([[40.0], [0.02]], np.float32) * estimates)
    first, second = (tracker.solve() for tracker in trackers)
    np.testing.assert_array_equal(first.orders, second.orders)


def test_recordings_at_very_low_level_are_ordered_too():
    sources = alternate(60, 2.5, 0.5)
    order, wrong = track(np.float32(1e-4) * sources)
    assert wrong < 0.01
    assert order.num_voices == 2


def test_silence_and_short_recordings():
    tracker = SpeakerTracker(2, RATE, embed)
    assert tracker.solve().orders.shape == (0, 2)
    tracker.add(Chunk(0, 5), np.zeros(5, np.float32), np.zeros((2, 5), np.float32))
    assert tracker.solve().orders.tolist() == [[0, 1]]
    silent, wrong = track(np.zeros((2, 20_000), np.float32))
    assert wrong == 0.0
    assert silent.uncertain == ()
    assert np.isinf(silent.margins).all()


def test_one_output_needs_no_order():
    tracker = SpeakerTracker(1, RATE, embed)
    for start in (0, 3000):
        voice = hum(0, 4000)
        tracker.add(Chunk(start, 4000), voice, voice[np.newaxis])
    assert tracker.solve().orders.tolist() == [[0], [0]]


def test_solving_twice_gives_the_same_and_more_can_follow():
    sources = alternate(60, 2.5, 0.5)
    items = list(separated(sources))
    tracker = SpeakerTracker(2, RATE, embed)
    for chunk, mixture, estimates, _ in items[:5]:
        tracker.add(chunk, mixture, estimates)
    first = tracker.solve()
    np.testing.assert_array_equal(first.orders, tracker.solve().orders)
    for chunk, mixture, estimates, _ in items[5:]:
        tracker.add(chunk, mixture, estimates)
    assert misplaced(sources, items, tracker.solve().orders) == 0.0


def test_shapes_that_do_not_fit_are_refused():
    tracker = SpeakerTracker(2, RATE)
    with pytest.raises(ValueError, match="2 estimates of 10 samples"):
        tracker.add(Chunk(0, 10), np.zeros(10, np.float32), np.zeros((2, 9), np.float32))


def test_too_many_speakers_are_refused_at_the_second_chunk():
    tracker = SpeakerTracker(6, RATE)
    tracker.add(Chunk(0, 40), np.zeros(40, np.float32), np.zeros((6, 40), np.float32))
    assert tracker.solve().orders.tolist() == [[0, 1, 2, 3, 4, 5]]
    with pytest.raises(ModelError):
        tracker.add(Chunk(30, 40), np.zeros(40, np.float32), np.zeros((6, 40), np.float32))


def test_little_is_kept_of_a_chunk():
    voice = np.full(192, 0.07, np.float32)
    tracker = SpeakerTracker(2, RATE, lambda samples, rate: voice)
    estimates = np.stack([hum(0, 800), np.zeros(800, np.float32)])
    held = []
    tracemalloc.start()
    for number in range(201):
        tracker.add(Chunk(700 * number, 800), estimates[0], estimates)
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    two_voices, numbers = 2 * 192 * 2, 72
    assert held[-1] - held[100] < 100 * (two_voices + numbers + 400)  # and what objects cost
    assert len(tracker.solve().orders) == 201
