import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sepcli import __version__
from sepcli.errors import DeviceError
from sepcli.evaluation import benchmark, contest
from sepcli.evaluation.benchmark import Result, Setting
from sepcli.evaluation.contest import imports_as_here
from tests.cli.runner import CommandLine


def made_up(setting: Setting) -> Result:
    if setting.model == "convtasnet-libri2mix-noisy-8k":
        raise DeviceError("out of memory", "buy some")
    return Result(
        **{key: value for key, value in dataclasses.asdict(setting).items() if key != "runs"},
        sample_rate=8000,
        parameters=1000,
        random_weights=True,
        load_seconds=0.1,
        seconds=0.5,
        fastest_seconds=0.4,
        real_time_factor=0.125,
        macs_per_second=1e9,
        gflops=16.0,
        product_gflops=160.0,
        share=0.1,
        peak_bytes=300_000_000,
        times_fp32=None if setting.precision == "fp32" else 1.5,
        si_sdr_to_fp32_db=None if setting.precision == "fp32" else 40.0,
    )


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "run", made_up)


def check_real_model(sepcli: CommandLine, model: Path) -> None:
    done = sepcli("bench", model, "--chunk", 0.5, "--runs", 1, "-d", "cpu", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.lines[0])
    assert found["model"] == str(model) and not found["random_weights"]
    assert found["real_time_factor"] > 0 and found["peak_bytes"] > 50e6


def test_measures_a_real_model(
    sepcli: CommandLine, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "run", benchmark.measure)
    check_real_model(sepcli, model_folder)


@pytest.mark.slow  # a process that imports torch: seconds, on a busy machine minutes
def test_measures_in_a_process_of_its_own(sepcli: CommandLine, model_folder: Path) -> None:
    check_real_model(sepcli, model_folder)


@pytest.mark.usefixtures("pretend")
def test_every_setting_has_a_line(sepcli: CommandLine) -> None:
    settings = ("--chunk", 2, "--chunk", 4, "--batch-size", 1, "--batch-size", 8)
    done = sepcli("bench", "spgm", "tdanet-2ms", *settings, "--precision", "bf16")
    assert done.code == 0, done.err
    assert done.lines[0].split()[-3:] == ["speed-up", "to", "fp32"]
    assert done.lines[1].split()[-4:] == ["1.50", "×", "40.0", "dB"]
    rows = [line.split() for line in done.lines[1:9]]
    assert [(row[0], row[1], row[3]) for row in rows] == [
        (name, seconds, size)
        for name in ("spgm", "tdanet-2ms")
        for seconds in "24"
        for size in "18"
    ]
    assert "matrix product 160 GFLOP/s" in done.out
    assert "random weights" in done.err


@pytest.mark.usefixtures("pretend")
def test_a_model_that_fails_does_not_stop_the_others(sepcli: CommandLine) -> None:
    done = sepcli("bench", "--all", "--json", "--plot", "cost.png")
    assert done.code == 1 and "out of memory" in done.err
    names = [json.loads(line)["model"] for line in done.lines]
    assert len(names) > 10 and "convtasnet-libri2mix-noisy-8k" not in names
    assert Path("cost.png").read_bytes().startswith(b"\x89PNG")


def test_runs_no_command_from_the_current_folder(
    sepcli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare(ours: list[str], *_: object) -> dict[str, list[float]]:
        command = [*ours[: ours.index("separate")], "--version"]
        done = subprocess.run(command, capture_output=True, text=True, env=imports_as_here())
        assert done.stdout == f"sepcli {__version__}\n", done.stderr
        return {"sepcli": [1.0], "other": [2.0]}

    for name in ("platform.py", "sepcli.py"):
        Path(name).write_text("raise SystemExit('somebody else')")
    monkeypatch.setattr(sys, "path", [*filter(None, sys.path)])
    monkeypatch.setattr(contest, "compare", compare)
    done = sepcli("bench", "spgm", "--against", "other")
    assert done.code == 0 and "2.00 times as fast" in done.out


@pytest.mark.slow  # four processes that import torch
def test_compares_with_another_command(sepcli: CommandLine, model_folder: Path) -> None:
    other = f"{sys.executable} -S -c pass"  # some hundredth of a second
    arguments = ("bench", model_folder, "--against", other, "--runs", 1, "--chunk", 0.5)
    found = json.loads(sepcli(*arguments, "--json").lines[0])
    assert found["medians"]["sepcli"] > 5 * found["medians"]["other"] > 0
    assert found["ratio"] == found["medians"]["other"] / found["medians"]["sepcli"]
    assert "0.5 s of audio: sepcli " in sepcli(*arguments).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("spgm", "--all"), "--all and names of models exclude each other"),
        (("spgm", "--chunk", "0"), "a chunk must be longer than 0 s"),
        (("spgm", "tdanet-2ms", "--against", "x"), "--against takes one model"),
        (("spgm", "--threads", "2", "--against", "x"), "--against times whole commands"),
        (("spgm", "--against", ""), "--against names no command"),
        (("spgm", "--against", " "), "--against names no command"),
    ],
)
def test_usage_errors(sepcli: CommandLine, arguments: tuple[str, ...], message: str) -> None:
    done = sepcli("bench", *arguments)
    assert done.code == 2 and message in done.err
