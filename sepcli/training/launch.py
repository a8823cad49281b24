"""From a recipe to a model folder: processes, material, loop, results."""

import logging
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric

from sepcli.errors import DeviceError
from sepcli.files import output_error
from sepcli.training.export import (
    CURVE_FILE,
    LOG_FILE,
    Measurement,
    plot_curve,
    write_log,
    write_model_folder,
)
from sepcli.training.loop import Outcome, Trainer, config_values, ignore
from sepcli.training.precision import chosen_precision
from sepcli.training.recipe import Recipe
from sepcli.training.setup import Note, batch_maker, dev_mixtures, make_network, read_material

DECODED = "decoded"  # in the model folder
EVENTS_VERSION = "brain.Event:2"  # of TensorBoard's files, which their first record tells


def launch(
    recipe: Recipe,
    folder: Path,
    *,
    source: str = "",
    time_limit_seconds: float = float("inf"),
    accelerator: str = "auto",
    note: Note = ignore,
    warn: Note = ignore,
    on_step: Callable[[int], None] = ignore,
    on_measurement: Callable[[Measurement], None] = ignore,
) -> Outcome | None:
    """Run a recipe, write its model folder and return the outcome; None beside the first process.

    Args:
        recipe: What to do.
        folder: Model folder, which also holds the checkpoint and the logs.
        source: Entry whose weights to go on from; empty for none.
        time_limit_seconds: When to stop, resumable.
        accelerator: `auto`, `cpu`, `cuda` or `mps`; processes and machines are set by Lightning's
            launcher, `fabric run`.
        note: Told what is worth knowing.
        warn: Told what is not as expected.
        on_step: Called with the number of steps done.
        on_measurement: Called after each measurement.

    Raises:
        SepcliError: data, configuration or device are not fit.
    """
    fabric = _fabric(recipe, accelerator)
    if not fabric.is_global_zero:  # the first process speaks for all
        note = warn = on_measurement = ignore
    network = make_network(recipe, source, note)
    num_speakers: int = network.config.num_speakers  # type: ignore[assignment, union-attr]
    with fabric.rank_zero_first():  # the others read what the first has decoded
        material = read_material(recipe, num_speakers, folder / DECODED, note=note, warn=warn)
    if fabric.is_global_zero:
        on_measurement = _on_board(folder, on_measurement)
    trainer = Trainer(
        fabric=fabric,
        network=network,
        recipe=recipe,
        make_batch=batch_maker(recipe, material, num_speakers, fabric.global_rank),
        dev=dev_mixtures(recipe, material, num_speakers),
        folder=folder,
        on_step=on_step,
        on_measurement=on_measurement,
        on_resume=lambda step: note(f"going on from step {step}"),
    )
    outcome = trainer.run(time_limit_seconds=time_limit_seconds)
    if not fabric.is_global_zero:
        return None
    _write(outcome, recipe, folder, network)
    return outcome


def _fabric(recipe: Recipe, accelerator: str) -> Fabric:
    """Processes started, precision set."""
    for part in ("fabric", "pytorch"):  # either may speak; what matters is said by us
        logging.getLogger(f"lightning.{part}").setLevel(logging.ERROR)
    launched_outside = "LT_CLI_USED" in os.environ
    try:
        devices = "auto" if launched_outside else 1
        device = Fabric(accelerator=accelerator, devices=devices).device
        fabric = Fabric(
            accelerator=accelerator,
            devices=devices,
            precision=chosen_precision(recipe.run.precision, device),
        )
    except (ValueError, RuntimeError, ImportError) as problem:
        raise DeviceError(f"no such device: {accelerator}", "use --device auto") from problem
    if not launched_outside:
        fabric.launch()
    return fabric


def _on_board(folder: Path, then: Callable[[Measurement], None]) -> Callable[[Measurement], None]:
    """Return what draws a measurement in TensorBoard, and then tells `then` of it.

    Its own writer does that in a thread, which shows a traceback where the disk is full.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    board = folder / "tensorboard"
    path = board / f"events.out.tfevents.{time.time():010.0f}.{platform.node()}.{os.getpid()}"

    def measured(row: Measurement) -> None:
        drawn = {"SNR/train": row.train_snr_db, "SI-SDRi/dev": row.dev_si_sdri_db, "rate": row.rate}
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in drawn.items()]
        event = Event(wall_time=time.time(), step=row.step, summary=Summary(value=values))
        try:
            board.mkdir(exist_ok=True)
            with path.open("ab") as file:
                if not file.tell():
                    first = Event(wall_time=time.time(), file_version=EVENTS_VERSION)
                    RecordWriter(file).write(first.SerializeToString())
                RecordWriter(file).write(event.SerializeToString())
        except OSError as problem:
            raise output_error(path, problem) from problem
        then(row)

    return measured


def _write(outcome: Outcome, recipe: Recipe, folder: Path, network: Any) -> None:
    """Write weights, entry, log and curve."""
    write_log(folder / LOG_FILE, outcome.measurements)
    write_model_folder(folder, recipe, config_values(network), outcome.weights, outcome.best)
    if outcome.measurements:
        title = recipe.model.name or recipe.model.architecture
        plot_curve(outcome.measurements, folder / CURVE_FILE, title)
