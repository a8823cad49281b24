import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch

from sepcli.errors import AudioError, OutputError
from sepcli.separation.batch import WRITE_BEHIND, separate_jobs
from sepcli.separation.jobs import Job
from sepcli.separation.lanes import LANES
from sepcli.separation.outcome import Outcome
from sepcli.separation.pipeline import MOST_WAITING, TOGETHER_CHUNKS
from sepcli.separation.separator import SeparationOptions, Separator
from sepcli.separation.writing import OutputOptions
from tests.doubles import RATE, Broken, Identity, entry
from tests.separation.runs import (
    Stopping,
    both_modes,
    jobs_of,
    names,
    run,
    tone,
    write_mixture,
    write_stopping,
    write_talk,
)


@both_modes
@pytest.mark.parametrize("batch", [1, 3])
def test_a_folder_with_a_broken_file(tmp_path: Path, batch: int, mode: str) -> None:
    for number in range(5):
        write_mixture(tmp_path / f"in/{number}.wav", 0.3 + 0.2 * (number % 3), number)
    write_talk(tmp_path / "in/5.wav")
    (tmp_path / "in/3.wav").write_bytes(b"RIFF but not a WAV")
    outcomes = run(Identity(), jobs_of(tmp_path / "in", tmp_path / "out"), batch=batch, mode=mode)
    failed = [outcome for outcome in outcomes if outcome.error]
    assert len(outcomes) == 6
    assert [outcome.job.source for outcome in failed] == [tmp_path / "in/3.wav"]
    assert isinstance(failed[0].error, AudioError)
    assert names(tmp_path / "out") == sorted(f"{n}_spk{k}.wav" for n in "01245" for k in (1, 2))


class Meanwhile(Identity):
    """Another run writes the same outputs while this one computes them."""

    def __init__(self, outputs: tuple[Path, ...]) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        for output in self.outputs:
            output.write_bytes(b"the other run's")
        return super().forward(mixture)


def test_skip_existing_keeps_what_another_run_wrote_meanwhile(tmp_path: Path) -> None:
    write_mixture(tmp_path / "in/a.wav")
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    jobs = [replace(jobs[0], labels=(tmp_path / "out/a.rttm",))]
    written = jobs[0].outputs + jobs[0].labels
    (outcome,) = run(Meanwhile(written), jobs, OutputOptions(skip_existing=True))
    assert outcome.skipped
    assert outcome.error is None
    assert {path.read_bytes() for path in jobs[0].outputs} == {b"the other run's"}
    for path in written:
        path.unlink()
    (outcome,) = run(Meanwhile(jobs[0].outputs[1:]), jobs, OutputOptions(skip_existing=True))
    assert isinstance(outcome.error, OutputError)
    assert names(tmp_path / "out") == ["a_spk2.wav"]
    assert jobs[0].outputs[1].read_bytes() == b"the other run's"


@both_modes
def test_a_network_that_fails_leaves_nothing(tmp_path: Path, mode: str) -> None:
    write_talk(tmp_path / "in/a.wav")
    (outcome,) = run(Broken(), jobs_of(tmp_path / "in", tmp_path / "out"), mode=mode)
    assert outcome.error is not None
    assert names(tmp_path / "out") == []


class Picky(Identity):
    """Fails on loud chunks and counts how often it was asked."""

    num_calls = 0

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        self.num_calls += 1
        estimates = super().forward(mixture)
        return estimates / (mixture.abs().amax(dim=-1) < 0.5)[:, None, None]


@pytest.mark.parametrize("batch", [1, 4])
def test_a_failing_recording_is_given_up_at_once_and_alone(tmp_path: Path, batch: int) -> None:
    for number, level in enumerate((0.1, 0.9, 0.1)):
        path = tmp_path / f"in/{number}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, tone(level, RATE * 20), RATE)
    network = Picky()
    outcomes = run(network, jobs_of(tmp_path / "in", tmp_path / "out"), batch=batch)
    failed = [outcome.job.source for outcome in outcomes if outcome.error]
    assert failed == [tmp_path / "in/1.wav"]
    assert len(names(tmp_path / "out")) == 4
    chunks = 2 * (20 / 0.6 + 1)  # of the two good ones
    assert network.num_calls < chunks / batch + 4 * batch


@both_modes
def test_an_interrupted_run_leaves_nothing_but_its_spool(
    tmp_path: Path, spool_folder: Path, mode: str
) -> None:
    write_stopping(tmp_path / "in/a.wav")
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run(Stopping(), jobs, mode=mode)
    assert names(tmp_path / "out") == []
    assert names(spool_folder) == []  # short: done again faster than resumed
    assert not [t for t in threading.enumerate() if t.name.startswith(("reader", "writer"))]


def test_recordings_are_read_ahead_but_not_all_at_once(tmp_path: Path) -> None:
    for number in range(48):
        write_mixture(tmp_path / f"in/{number:02}.wav", 0.5, number)
    separator = Separator(Identity(), entry(), SeparationOptions(device="cpu"))
    read: list[int] = []
    outcomes: Iterator[Outcome] = separate_jobs(
        separator.pipeline,
        jobs_of(tmp_path / "in", tmp_path / "out"),
        OutputOptions(),
        on_read=lambda recording: read.append(1),
    )
    next(outcomes)
    assert len(read) <= WRITE_BEHIND + TOGETHER_CHUNKS + MOST_WAITING + LANES
    assert len(list(outcomes)) == 47


@both_modes
def test_two_runs_on_one_output_folder_do_not_spoil_each_other(tmp_path: Path, mode: str) -> None:
    for number in range(5):
        write_mixture(tmp_path / f"in/{number}.wav", 0.5, number)
    write_talk(tmp_path / "in/5.wav")
    run(Identity(), jobs_of(tmp_path / "in", tmp_path / "alone"), mode=mode)
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    together = threading.Barrier(2)
    found: list[Outcome] = []

    def one() -> None:
        together.wait()
        found.extend(run(Identity(), jobs, mode=mode))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    failures = [outcome.error for outcome in found if outcome.error is not None]
    assert all("already there" in failure.message for failure in failures)
    assert len(failures) >= 6  # nobody's output was replaced
    assert names(tmp_path / "out") == names(tmp_path / "alone")
    for name in names(tmp_path / "out"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


@contextmanager
def interrupted_soon() -> Iterator[None]:
    """Press Ctrl-C in half a second, when the reader waits; the block must end soon."""
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    # a shell lets what it starts in the background ignore Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    started = time.monotonic()
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - started < 0.5 + 2.0  # half a second, on a machine that is free


def test_ctrl_c_ends_the_waiting_for_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    jobs = [Job(None, (tmp_path / "out/1.wav", tmp_path / "out/2.wav"))]
    with os.fdopen(reading) as stdin, os.fdopen(writing, "wb", buffering=0) as feeder:
        monkeypatch.setattr("sys.stdin", stdin)
        feeder.write(b"RIFF....WAVE")
        with interrupted_soon():
            run(Identity(), jobs)
    assert names(tmp_path) == []


@pytest.mark.parametrize("stalls", ["exec sleep 60", "kill -STOP $$"])
def test_ctrl_c_ends_the_waiting_for_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stalls: str
) -> None:
    program = tmp_path / "bin/ffmpeg"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n{stalls}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    source = tmp_path / "in/a.m4a"
    source.parent.mkdir()
    source.write_bytes(b"no format that libsndfile knows")
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    with interrupted_soon():
        run(Identity(), jobs)
    with pytest.raises(ProcessLookupError):  # it was ended, and reaped
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert names(tmp_path / "out") == []
