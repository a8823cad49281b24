"""Several processes that share recordings, as with a GPU each; here each has the processor."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from sepcli.errors import DeviceError, UsageError
from sepcli.separation import devices as module
from sepcli.separation.batch import separate_jobs
from sepcli.separation.devices import refuse_stdin, separate_on, split_devices
from sepcli.separation.jobs import Job
from sepcli.separation.outcome import Outcome
from sepcli.separation.pipeline import Pipeline, Say
from sepcli.separation.separator import SeparationOptions, Separator
from sepcli.separation.writing import OutputOptions
from tests.doubles import RATE, Identity, entry, two_voices, write_model_folder
from tests.separation.options import AS_SEPARATED

NUM_RECORDINGS = 6
WAIT_SECONDS = 60.0


class Killed(Identity):
    """Ends its process, as a system short of memory does, at its second chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.num_calls = 0

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        self.num_calls += 1
        if self.num_calls > 1:
            Path(os.environ["KILLED"]).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(mixture)


class Patient(Identity):
    """Waits until a process was killed, so that there is something left to do then."""

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        end = time.monotonic() + WAIT_SECONDS
        while not Path(os.environ["KILLED"]).exists() and time.monotonic() < end:
            time.sleep(0.01)
        return super().forward(mixture)


def pipeline(networks: Mapping[str, type[nn.Module]], device: str, say: Say) -> Pipeline:
    say("ready")
    if device == "broken":
        raise DeviceError("broken is not available: it is a test")
    network = networks.get(device, Identity)()
    options = SeparationOptions(device="cpu", chunk_seconds=1.0, **AS_SEPARATED)
    return Separator(network, entry(level="as-is"), options, say=say).pipeline


@contextmanager
def unguarded() -> Iterator[None]:
    yield


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    made = []
    for number in range(NUM_RECORDINGS):
        source = tmp_path / f"{number}.wav"
        soundfile.write(source, two_voices(1.0 + number % 3, number).sum(axis=0), RATE)
        outputs = tuple(tmp_path / f"out/{number}_spk{speaker}.wav" for speaker in (1, 2))
        made.append(Job(source, outputs))
    return made


def test_all_recordings_are_done_once_and_as_by_one_process(jobs: list[Job]) -> None:
    said: list[str] = []
    read: list[float] = []
    separated: list[float] = []
    outcomes = list(
        separate_on(
            ["cpu", "other"],
            partial(pipeline, {}),
            [*jobs, Job(Path("absent.wav"), (Path("absent_spk1.wav"), Path("absent_spk2.wav")))],
            OutputOptions(),
            read.append,
            separated.append,
            say=said.append,
            guard=unguarded,
        )
    )
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    assert [outcome.job.label for outcome in failed] == ["absent.wav"]
    assert sorted(o.job.label for o in outcomes if o.error is None) == [j.label for j in jobs]
    assert sorted(said) == ["cpu: ready", "other: ready"]
    assert sum(read) == pytest.approx(sum(separated)) == pytest.approx(2 * (1 + 2 + 3))
    written = {path: path.read_bytes() for job in jobs for path in job.outputs}
    alone = pipeline({}, "cpu", lambda text: None)
    assert all(o.error is None for o in separate_jobs(alone, jobs, OutputOptions(overwrite=True)))
    assert {path: path.read_bytes() for path in written} == written


def start(networks: Mapping[str, type[nn.Module]], jobs: list[Job]) -> Iterator[Outcome]:
    options, made = OutputOptions(skip_existing=True), partial(pipeline, networks)
    return separate_on(list(networks), made, jobs, options, say=lambda text: None, guard=unguarded)


@pytest.mark.slow
def test_where_a_process_is_killed_the_others_go_on(
    jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILLED", str(tmp_path / "killed"))
    many = jobs * 6  # more than one process reads ahead
    outcomes = list(start({"patient": Patient, "killed": Killed}, many))
    assert Counter(o.job.label for o in outcomes) == Counter(job.label for job in many)
    lost = [outcome for outcome in outcomes if outcome.error is not None]
    assert 0 < len(lost) < len(many)
    assert {o.error.message for o in lost if o.error} == {"process ended, code -9: killed"}


@pytest.mark.slow
def test_where_all_processes_are_killed_the_rest_are_failures(
    jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILLED", str(tmp_path / "killed"))
    many = jobs * 6  # more than are read ahead
    outcomes = list(start({"killed": Killed}, many))
    assert len(outcomes) == len(many)
    messages = [outcome.error.message for outcome in outcomes if outcome.error]
    assert messages[0] == "process ended, code -9: killed"
    assert messages[-1] == "processes of all devices ended"


def test_a_device_that_cannot_be_used_ends_the_run(jobs: list[Job]) -> None:
    with pytest.raises(DeviceError, match="broken is not available"):
        list(start({"broken": Identity}, jobs))


def test_names_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert split_devices("auto") == ["auto"]
    assert split_devices("cuda:0,cpu") == ["cuda:0", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="cuda is not available"):
        split_devices("cuda:all")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert split_devices("cuda:all") == ["cuda:0", "cuda:1", "cuda:2"]


def test_standard_input_cannot_be_shared(jobs: list[Job]) -> None:
    refuse_stdin(jobs)
    with pytest.raises(UsageError, match="several devices cannot share standard input"):
        refuse_stdin([*jobs, Job(None, (Path("a.wav"), Path("b.wav")))])


def command(folder: Path, *more: str) -> list[str]:
    program = [sys.executable, "-m", "sepcli", "separate", "--model", write_model_folder(folder)]
    return [*map(str, program), "--device", "cpu,cpu", "-o", str(folder / "out"), *more]


@pytest.mark.slow
def test_the_command_prints_whole_lines_and_counts_failures(
    tmp_path: Path, jobs: list[Job]
) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no recording")
    names = [*(job.label for job in jobs), str(tmp_path / "bad.wav")]
    done = subprocess.run(
        command(tmp_path / "tiny", "--json", *names), capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    records: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(record["input"] for record in records) == sorted(names)
    assert [record["input"] for record in records if "error" in record] == names[-1:]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_command_leaves_finished_outputs_alone(
    tmp_path: Path, number: signal.Signals
) -> None:
    source = tmp_path / "long.wav"
    soundfile.write(source, np.tile(two_voices(10.0).sum(axis=0), 30), RATE)
    (tmp_path / "short.wav").write_bytes(source.read_bytes()[: 44 + RATE])
    names = [str(tmp_path / f"{number}.wav") for number in range(4)]
    for name in names:
        Path(name).symlink_to(source)
    process = subprocess.Popen(
        command(tmp_path / "tiny", str(tmp_path / "short.wav"), *names),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().endswith("short_spk1.wav\n")
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.splitlines()[-1]) == (
        128 + number,
        "interrupted: finished outputs are kept",
    )
    assert "Traceback" not in said
    time.sleep(0.5)
    left = sorted(path.name for path in (tmp_path / "tiny/out").iterdir())
    assert left[-2:] == ["short_spk1.wav", "short_spk2.wav"]
    assert not [name for name in left if name.startswith(".")]


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="a system without masks")
def test_a_process_that_is_still_starting_has_no_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    starting = partial(time.sleep, 60.0)  # in place of what lets interrupts in when it is up
    worker = module._start("cpu", 2, abs, OutputOptions(), starting)  # type: ignore[arg-type]
    assert worker.process.pid is not None
    os.kill(worker.process.pid, signal.SIGINT)
    time.sleep(0.2)
    worker.end()
    assert worker.process.exitcode == -signal.SIGTERM
    assert capfd.readouterr().err == ""
