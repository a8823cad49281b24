"""Training runs: resume is exact to the bit, time limits cut slices, gradients must be finite."""

import csv
import math
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

import sepcli.__main__
from sepcli.errors import DeviceError, ModelError, OutputError, WeightsError
from sepcli.models.load import load_model
from sepcli.models.registry import entry_from_folder
from sepcli.training import loop
from sepcli.training.checkpoint import Progress
from sepcli.training.export import Measurement
from sepcli.training.launch import _on_board, launch
from sepcli.training.loop import CHECKPOINT_FILE, Outcome
from sepcli.training.recipe import Recipe


class Killed(BaseException):
    """Ends a run at once, like a signal."""


def run(recipe: Recipe, folder: Path, **options: object) -> Outcome:
    folder.mkdir(exist_ok=True)
    outcome = launch(recipe, folder, accelerator="cpu", **options)  # type: ignore[arg-type]
    assert outcome is not None
    return outcome


def weights(folder: Path) -> dict[str, Tensor]:
    return dict(torch.load(folder / CHECKPOINT_FILE, weights_only=True))


def assert_same_end(one: Path, other: Path) -> None:
    """Both folders hold the same model bytes, and the same state bit for bit."""
    for name in ("model.safetensors", "model.toml", "log.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    first, second = weights(one), weights(other)
    for part in ("weights", "average", "best_weights"):
        for key, value in first[part].items():
            assert torch.equal(value, second[part][key]), (part, key)


@pytest.mark.parametrize(("method", "kill_at"), [("adamw", 7), ("muon", 1), ("muon", 4)])
def test_a_killed_run_ends_like_one_never_killed(
    tmp_path: Path, write_recipe: Callable[..., Recipe], method: str, kill_at: int
) -> None:
    recipe = write_recipe(rate=f'0.01\nmethod = "{method}"')

    def kill(step: int) -> None:
        if step == kill_at:
            raise Killed

    (tmp_path / "cut").mkdir()
    with pytest.raises(Killed):
        run(recipe, tmp_path / "cut", on_step=kill)
    steps: list[int] = []
    run(recipe, tmp_path / "cut", on_step=steps.append)
    assert steps[0] == (kill_at - 1) // 2 * 2 + 1  # right after the last save, every 2 steps
    whole = run(recipe, tmp_path / "whole")
    assert whole.finished and [row.step for row in whole.measurements] == [3, 6, 8]
    assert_same_end(tmp_path / "cut", tmp_path / "whole")


def test_slices_end_like_one_run(
    tmp_path: Path, write_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, looks = write_recipe(), count()
    run(recipe, tmp_path / "whole")
    # a clock that is a second later whenever somebody looks, three times a step
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(looks))))
    slices: list[list[int]] = []
    for finished in (False, False, True):
        slices.append([])
        options = {"time_limit_seconds": 8.0, "on_step": slices[-1].append}
        assert run(recipe, tmp_path / "slices", **options).finished == finished
    assert slices == [[1, 2, 3], [4, 5, 6], [7, 8]]
    assert_same_end(tmp_path / "slices", tmp_path / "whole")


def test_the_result_is_a_model(tmp_path: Path, write_recipe: Callable[..., Recipe]) -> None:
    outcome = run(write_recipe(), tmp_path / "out")
    network = load_model(entry_from_folder(tmp_path / "out")).network
    assert network(torch.randn(1, 500)).shape == (1, 2, 500)
    log = list(csv.DictReader((tmp_path / "out" / "log.csv").open()))
    assert [row["step"] for row in log] == ["3", "6", "8"]
    best = max(log, key=lambda row: float(row["dev_si_sdri_db"]))
    assert outcome.best is not None and outcome.best.step == int(best["step"])
    assert (tmp_path / "out" / "curve.png").is_file()
    assert list((tmp_path / "out" / "tensorboard").iterdir())
    assert outcome.audio_rate > 0 and 0 <= outcome.idle_share <= 1


def test_measurements_are_on_the_board_and_a_full_disk_is_told(tmp_path: Path) -> None:
    told: list[Measurement] = []
    measured = _on_board(tmp_path, told.append)
    rows = [Measurement(step, 0.1, 2.0 + step, 3.0, 1e-3) for step in (4, 8)]
    for row in rows:
        measured(row)
    assert told == rows
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in board.Scalars("SNR/train")] == [(4, 6), (8, 10)]
    assert sorted(board.Tags()["scalars"]) == ["SI-SDRi/dev", "SNR/train", "rate"]
    (file,) = (tmp_path / "tensorboard").iterdir()
    file.unlink()
    file.symlink_to("/dev/full")
    with pytest.raises(OutputError, match="no space left on device"):
        measured(rows[0])
    assert told == rows


def test_bf16_and_no_dev_speech(tmp_path: Path, write_recipe: Callable[..., Recipe]) -> None:
    recipe = write_recipe(dev='""', steps='4\nprecision = "bf16-mixed"')
    outcome = run(recipe, tmp_path / "out")
    assert outcome.finished and outcome.measurements == [] and outcome.best is None
    assert all(value.isfinite().all() for value in outcome.weights.values())


def test_training_goes_on_from_a_model(tmp_path: Path, write_recipe: Callable[..., Recipe]) -> None:
    recipe = write_recipe(rate="1e-9")
    run(recipe, tmp_path / "first")
    on = run(recipe, tmp_path / "second", source=str(tmp_path / "first"))
    first = load_model(entry_from_folder(tmp_path / "first")).network.state_dict()
    for key, value in on.weights.items():
        assert torch.allclose(value, first[key], atol=1e-5), key


def test_another_network_is_refused(tmp_path: Path, write_recipe: Callable[..., Recipe]) -> None:
    run(write_recipe(), tmp_path / "first")
    with pytest.raises(ModelError, match="another configuration"):
        run(write_recipe(hidden="16"), tmp_path / "second", source=str(tmp_path / "first"))
    with pytest.raises(WeightsError, match="checkpoint does not fit this recipe"):
        run(write_recipe(hidden="24"), tmp_path / "first")


@pytest.mark.parametrize("kind", ["garbage", "cut", "other"])
def test_a_damaged_checkpoint_is_told(
    kind: str, tmp_path: Path, write_recipe: Callable[..., Recipe]
) -> None:
    run(write_recipe(), tmp_path / "first")
    checkpoint = tmp_path / "first" / CHECKPOINT_FILE
    whole = checkpoint.read_bytes()
    if kind == "other":
        torch.save([1, 2], checkpoint)
    else:
        checkpoint.write_bytes(b"garbage" if kind == "garbage" else whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="checkpoint does not fit this recipe"):
        run(write_recipe(), tmp_path / "first")


def test_a_resumed_run_takes_the_rate_of_the_recipe(
    tmp_path: Path, write_recipe: Callable[..., Recipe]
) -> None:
    run(write_recipe(steps="2"), tmp_path / "out")
    before = weights(tmp_path / "out")
    run(write_recipe(steps="4", rate="1e-30"), tmp_path / "out")
    after = weights(tmp_path / "out")
    assert (before["step"], after["step"]) == (2, 4)
    for key, value in before["weights"].items():
        torch.testing.assert_close(after["weights"][key], value, rtol=0, atol=1e-12)


def test_the_best_measurement_is_never_nan() -> None:
    progress, average = Progress(), {"weight": torch.zeros(1)}
    for step, score in enumerate([math.nan, 5.0, math.nan, 4.0], 1):
        average["weight"].fill_(step)
        progress.add(Measurement(step, 0.0, 0.0, score, 0.0), average)
    assert progress.best is not None and progress.best.step == 2
    assert progress.best_weights["weight"] == 2


def test_steps_that_are_left_out_are_not_in_the_mean_of_training(
    tmp_path: Path, write_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count()

    def three_or_nan(estimates: Tensor, *_: object, **__: object) -> Tensor:
        return 3.0 + estimates.sum(dim=(1, 2)) * (0.0 if next(calls) // 2 % 2 else math.nan)

    monkeypatch.setattr(loop, "pit_snr", three_or_nan)  # two batches a step
    outcome = run(write_recipe(), tmp_path / "out")
    assert outcome.skipped_steps == 4
    assert [row.train_snr_db for row in outcome.measurements] == [3.0, 3.0, 3.0]


def test_an_accelerator_whose_package_is_not_here_is_told(
    tmp_path: Path, write_recipe: Callable[..., Recipe]
) -> None:
    with pytest.raises(DeviceError, match="no such device: tpu"):
        launch(write_recipe(), tmp_path, accelerator="tpu")


def test_training_stops_when_nothing_is_gained(
    tmp_path: Path, write_recipe: Callable[..., Recipe]
) -> None:
    # Rates this small change no digit of the score, so the first measurement stays the best.
    recipe = write_recipe(rate="1e-30", steps="1000", dev_every="1\npatience = 3")
    outcome = run(recipe, tmp_path / "out")
    assert outcome.finished
    assert len(outcome.measurements) == 4


def test_steps_without_a_finite_gradient_are_left_out(
    tmp_path: Path, write_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(rng: object, *args: object, **options: object) -> object:
        mixtures, references = original(rng, *args, **options)  # type: ignore[arg-type]
        mixtures[0, 0] = float("nan")
        return mixtures, references

    from sepcli.training import setup

    original = setup.make_batch
    monkeypatch.setattr(setup, "make_batch", poisoned)
    outcome = run(write_recipe(dev='""'), tmp_path / "out")
    assert outcome.skipped_steps == 8
    assert all(value.isfinite().all() for value in outcome.weights.values())


@pytest.mark.slow
def test_two_processes_train_one_network(
    tmp_path: Path, write_recipe: Callable[..., Recipe]
) -> None:
    recipe = write_recipe()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    subprocess.run(
        [
            *(sys.executable, "-m", "lightning.fabric.cli"),
            *("--accelerator=cpu", "--devices=2", "--strategy=ddp", f"--main-port={port}"),
            *(sepcli.__main__.__file__, "train", str(recipe.path), "-o", str(tmp_path / "out")),
        ],
        check=True,
    )
    last = (tmp_path / "out" / "log.csv").read_text().splitlines()[-1]
    assert last.startswith(f"{recipe.run.steps},")
    load_model(entry_from_folder(tmp_path / "out"))


@pytest.mark.slow
@pytest.mark.timeout(360)
def test_a_tiny_network_overfits_four_mixtures(
    tmp_path: Path, write_recipe: Callable[..., Recipe]
) -> None:
    from lightning.fabric import Fabric

    from sepcli.networks.stftformer import Config, Network
    from sepcli.training.loop import Trainer
    from sepcli.training.setup import dev_mixtures, read_material

    recipe = write_recipe(
        steps="1200",
        batch_size="4",
        dev_every="200",
        save_every="600",
        rate='0.003\nmethod = "muon"\ndecay = "linear"',
        accumulate="1",
        dev_mixtures="4",
        dev_seconds="[1.0, 1.0]",
    )
    material = read_material(recipe, 2, tmp_path / "decoded", note=print, warn=print)
    four = dev_mixtures(recipe, material, 2)
    batch = torch.stack([m for m, _ in four]), torch.stack([s for _, s in four])
    torch.manual_seed(0)
    network = Network(Config(dim=64, heads=2, hidden=256, num_blocks=2))
    trainer = Trainer(
        Fabric(accelerator="cpu"), network, recipe, lambda step: batch, four, tmp_path
    )
    began = time.monotonic()
    outcome = trainer.run()
    assert outcome.best is not None and outcome.best.dev_si_sdri_db > 20
    assert time.monotonic() - began < 300


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_killed_by_the_system_resumes_exactly(
    tmp_path: Path, write_recipe: Callable[..., Recipe]
) -> None:
    recipe = write_recipe(steps="60")
    command = [sys.executable, "-m", "sepcli", "train", str(recipe.path), "-d", "cpu", "-o"]
    process = subprocess.Popen([*command, str(tmp_path / "cut")])
    checkpoint = tmp_path / "cut" / CHECKPOINT_FILE
    while not checkpoint.is_file() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() != 0, "finished before it could be killed"
    for name in ("cut", "whole"):
        subprocess.run([*command, str(tmp_path / name)], check=True)
    assert_same_end(tmp_path / "cut", tmp_path / "whole")
