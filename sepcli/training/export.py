"""What a run leaves behind: a model folder, the log of its measurements, and their curve."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from sepcli.evaluation.complexity import count_parameters, macs_per_second
from sepcli.files import write_whole
from sepcli.models.build import build_network
from sepcli.models.quantise import quantised
from sepcli.models.registry import MODEL_FILE
from sepcli.training.recipe import Recipe

WEIGHTS_FILE = "model.safetensors"
LOG_FILE = "log.csv"
CURVE_FILE = "curve.png"


@dataclass(frozen=True)
class Measurement:
    """One line of the log.

    Attributes:
        step: Steps done.
        hours: Length of all training mixtures seen [h].
        train_snr_db: Mean over the training mixtures since the last measurement [dB].
        dev_si_sdri_db: Mean improvement on the development mixtures, averaged weights [dB].
        rate: Learning rate.
    """

    step: int
    hours: float
    train_snr_db: float
    dev_si_sdri_db: float
    rate: float


def write_model_folder(
    folder: Path,
    recipe: Recipe,
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    best: Measurement | None,
) -> None:
    """Write the weights and the `model.toml` that `--model FOLDER` takes.

    Args:
        folder: Where to.
        recipe: What was trained.
        config: The network's full configuration.
        weights: The network's state dict.
        best: The measurement these weights were chosen by, where there was one.
    """
    held = _stored(weights, recipe.run.weights)
    # Copies, because modules may share a tensor, and the format stores none twice.
    alone = {k: v.clone(memory_format=torch.contiguous_format) for k, v in held.items()}
    content = save(alone)
    write_whole(folder / WEIGHTS_FILE, content)
    model = recipe.model
    network, sizes = build_network(model.architecture, config, where=f"model {model.name}")
    entry: dict[str, Any] = {
        "architecture": model.architecture,
        "format": "safetensors",
        "files": [WEIGHTS_FILE],
        "speakers": sizes.num_speakers,
        "sample_rate": model.sample_rate,
        "chunk_seconds": model.chunk_seconds,
        "level": model.level,
        "license": model.license,
        "paper": model.paper,
        "trained_on": model.trained_on,
        "note": model.note,
        "parameters": count_parameters(network),
        "macs_per_second": macs_per_second(network, model.sample_rate),
        "download_bytes": len(content),
        "sha256": {WEIGHTS_FILE: hashlib.sha256(content).hexdigest()},
        "config": dict(config),
    }
    if best is not None:
        entry["scores"] = {"dev SI-SDRi": round(best.dev_si_sdri_db, 2)}
    entry = {key: value for key, value in entry.items() if value not in ("", {})}
    write_whole(folder / MODEL_FILE, to_toml(entry).encode())


def _stored(weights: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    """Return weights in the numbers that a recipe asks for."""
    held = {key: value.detach().cpu() for key, value in weights.items()}
    if kind == "int8":
        return quantised(held)
    number = torch.float16 if kind == "float16" else torch.float32
    return {k: v.to(number if v.is_floating_point() else v.dtype) for k, v in held.items()}


def to_toml(values: Mapping[str, Any], within: tuple[str, ...] = ()) -> str:
    """Return plain values, lists and tables of them as TOML; tables come last.

    Args:
        values: What the table holds.
        within: Names of the tables that hold it, from the outermost on.
    """
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    lines = [f"{_key(key)} = {_value(v)}" for key, v in values.items() if key not in tables]
    for name, table in tables.items():
        path = (*within, name)
        lines += ["", f"[{'.'.join(map(_key, path))}]", to_toml(table, path).rstrip("\n")]
    return "\n".join(lines) + "\n"


def write_log(path: Path, measurements: list[Measurement]) -> None:
    """Write all measurements as CSV; a resumed run thus drops what came after its checkpoint."""
    names = [item.name for item in fields(Measurement)]
    rows = [[f"{value:.6g}" for value in asdict(row).values()] for row in measurements]
    lines = [",".join(cells) for cells in [names, *rows]]
    write_whole(path, ("\n".join(lines) + "\n").encode())


def plot_curve(measurements: list[Measurement], path: Path, title: str) -> None:
    """Draw the SNR in training and SI-SDRi on the development mixtures over the hours seen.

    Raises:
        OutputError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    hours = [row.hours for row in measurements]
    axes.plot(hours, [row.train_snr_db for row in measurements], label="training SNR")
    axes.plot(hours, [row.dev_si_sdri_db for row in measurements], label="development SI-SDRi")
    axes.set_xlabel("mixtures seen [h]")
    axes.set_ylabel("dB")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120)
    write_whole(path, picture.getvalue())


def _key(key: str) -> str:
    plain = key.replace("-", "").replace("_", "")
    return key if plain.isalnum() and key.isascii() else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, float):
        return repr(float(value))  # also nan and inf, which JSON does not have
    # JSON's strings, whole numbers and booleans are TOML's.
    return json.dumps(value, ensure_ascii=False)
