import pytest

from sepcli.evaluation.diarization import diarization_error
from sepcli.separation.speakers.turns import Turn

TRUTH = (Turn(0.0, 4.0, 0), Turn(3.0, 6.0, 1), Turn(8.0, 11.0, 0))  # 10 s of speech


def test_names_of_speakers_do_not_matter() -> None:
    error = diarization_error([Turn(t.start_seconds, t.stop_seconds, 4 - t.speaker) for t in TRUTH],
                              TRUTH)  # fmt: skip
    assert error.rate == 0.0
    assert error.speech_seconds == 10.0
    assert error.mapping == {4: 0, 3: 1}


@pytest.mark.parametrize(
    ("found", "missed", "false_alarm", "confusion"),
    [
        ((), 10.0, 0.0, 0.0),
        ((Turn(0.0, 11.0, 0),), 1.0, 2.0, 2.0),  # one for all: in the overlap one is missed
        ((Turn(0.0, 4.0, 0), Turn(3.0, 6.0, 1)), 3.0, 0.0, 0.0),
        ((*TRUTH, Turn(7.0, 7.5, 0)), 0.0, 0.5, 0.0),
        ((*TRUTH[:2], Turn(8.0, 11.0, 2)), 0.0, 0.0, 3.0),  # one person as two
        ((*TRUTH, Turn(0.0, 2.0, 1)), 0.0, 2.0, 0.0),  # two where one speaks
    ],
)
def test_errors_are_those_of_the_closed_form(
    found: tuple[Turn, ...], missed: float, false_alarm: float, confusion: float
) -> None:
    error = diarization_error(found, TRUTH)
    wrong = (error.missed_seconds, error.false_alarm_seconds, error.confusion_seconds)
    assert wrong == pytest.approx((missed, false_alarm, confusion))
    assert error.rate == pytest.approx((missed + false_alarm + confusion) / 10)


def test_overlapping_turns_of_one_speaker_count_once() -> None:
    assert diarization_error([*TRUTH, Turn(1.0, 2.0, 0)], TRUTH).rate == 0.0
