import re
import time

import pytest

from sepcli.cli import console, tally
from sepcli.cli.tally import Tally, lines


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that passes, to be set by a test."""
    clock = [100.0]
    monkeypatch.setattr(tally.time, "monotonic", lambda: clock[0])
    return clock


def test_counts_hours_and_speed(times: list[float]) -> None:
    run = Tally(4)
    assert run.add_read(600.0) == 2400.0
    assert run.add_read(1200.0) == 3600.0
    run.add_separated(1800.0)
    run.num_done, run.num_skipped, run.num_failed = 1, 1, 1
    times[0] += 120
    assert run.progress() == "3 of 4 recordings, 0.50 hours of audio separated, 15.0x real time"
    assert run.summary() == "1 done, 1 skipped, 1 failed: 0.50 hours of audio, 15.0x real time"


def test_no_speed_is_said_where_nothing_was_done() -> None:
    run = Tally(3)
    run.num_skipped, run.num_failed = 2, 1
    assert run.summary() == "0 done, 2 skipped, 1 failed"


def test_one_recording_is_not_counted(times: list[float]) -> None:
    times[0] += 60
    run = Tally(1)
    run.add_separated(90.0)
    times[0] += 60
    assert run.progress() == "0.03 hours of audio separated, 1.5x real time"


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_a_line_at_the_start_and_one_at_each_interval(
    capfd: pytest.CaptureFixture[str], num_jobs: int
) -> None:
    with lines(Tally(num_jobs), "separating a.wav", every=0.05):
        time.sleep(0.3)
    said = capfd.readouterr().err.splitlines()
    assert said[0] == "separating a.wav"
    assert len(said) >= 3
    assert all(re.search(r"hours of audio separated, 0\.0x real time$", line) for line in said[1:])


def test_of_one_short_recording_nothing_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    with lines(Tally(1), "separating a.wav", every=5.0):
        pass
    assert capfd.readouterr().err == ""


def test_a_terminal_has_its_bar(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "has_terminal", lambda: True)
    with lines(Tally(2), "separating 2 recordings", every=0.01):
        time.sleep(0.05)
    assert capfd.readouterr().err == ""
