"""When anybody speaks, and what people sound like there, on voices at right angles."""

import numpy as np
import pytest

from sepcli.separation.chunking import FLOOR_DB, STEP_DB
from sepcli.separation.speakers.activity import Stretch, speech_frames, voices_heard
from sepcli.separation.speakers.people import unit
from sepcli.separation.speakers.timeline import Timeline
from sepcli.separation.speakers.windows import Windows

MIXTURE, FIRST, SECOND = np.eye(3, dtype=np.int8) * 100  # what each signal sounds like, [dims]
FRAMES = 600


def windows_at(*middles: int) -> Windows:
    """Return windows in which the mixture and both outputs have a voice of their own."""
    count = len(middles)
    return Windows(
        middles=np.array(middles, float),
        speech=np.ones(count, np.float32),
        strongest=np.tile([0, 1], (count, 1)),
        difference_db=np.zeros(count, np.float32),
        likeness=np.zeros(count, np.float32),
        is_heard=np.ones(count, np.bool_),
        voices=np.tile(np.stack([MIXTURE, FIRST, SECOND]), (count, 1, 1)),
    )


def test_who_speaks_alone_is_the_recording_and_who_never_does_their_output() -> None:
    stretches = (Stretch(0, 300, ((0, 0),)), Stretch(300, 600, ((0, 0), (1, 1))))
    heard, seconds = voices_heard(windows_at(150, 450), stretches, 3, FRAMES)
    assert heard == pytest.approx(np.stack([unit(MIXTURE), unit(SECOND), 0 * unit(SECOND)]))
    assert seconds == pytest.approx([6.0, 3.0, 0.0])


@pytest.mark.parametrize(("middle", "is_told"), [(240, True), (269, True), (270, False)])
def test_a_window_tells_who_fills_more_than_seven_tenths_of_it(middle: int, is_told: bool) -> None:
    stretches = (Stretch(0, 300, ((0, 0),)), Stretch(300, 600, ((1, 1),)))
    heard, _ = voices_heard(windows_at(middle), stretches, 2, FRAMES)
    assert heard[0].any() == is_told
    assert not heard[1].any()


def test_a_window_whose_middle_is_a_pause_tells_nothing() -> None:
    stretches = (Stretch(0, 145, ((0, 0),)), Stretch(155, 300, ((0, 0),)))
    heard, _ = voices_heard(windows_at(150), stretches, 1, FRAMES)
    assert not heard.any()


def speech_and(pause: tuple[float, float]) -> Timeline:
    """Return ten seconds of speech at -30 dB and ten of pauses, of the mixture and an output."""
    speaks = np.arange(2000) // 500 % 2 == 0
    decibels = np.where(speaks, [[-30.0], [-30.0], [-90.0]], [[pause[0]], [pause[1]], [-90.0]])
    levels = np.round((decibels - FLOOR_DB) / STEP_DB).astype(np.uint8)
    return Timeline(levels, np.zeros(0, np.int64), np.zeros((0, 3, 0), np.int8))


@pytest.mark.parametrize(
    ("pause", "is_speech"),
    [
        ((-66.0, -66.0), False),  # quiet: below the peak by more than 35 dB
        ((-59.0, -59.0), True),
        ((-45.0, -61.0), False),  # noise that the network leaves out
        ((-45.0, -59.0), True),  # it keeps it: maybe somebody speaks
    ],
)
def test_what_is_loud_is_speech_unless_the_network_leaves_it_out(
    pause: tuple[float, float], is_speech: bool
) -> None:
    found = speech_frames(speech_and(pause))
    middles = np.array([250, 750, 1250, 1750])
    assert found[middles].tolist() == [True, is_speech, True, is_speech]


def test_faint_estimates_in_a_quiet_recording_are_speech() -> None:
    timeline = speech_and((-62.0, -62.0))
    timeline.levels[:, 1500:] = 1  # a quarter is quiet
    assert speech_frames(timeline)[750]
