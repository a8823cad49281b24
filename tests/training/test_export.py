"""The model folder is taken by the rest of the program; logs and curves are whole."""

import csv
import errno
import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sepcli.errors import OutputError
from sepcli.models.load import load_model
from sepcli.models.registry import entry_from_folder
from sepcli.training.export import (
    Measurement,
    plot_curve,
    to_toml,
    write_log,
    write_model_folder,
)
from sepcli.training.loop import config_values
from sepcli.training.recipe import Recipe
from sepcli.training.setup import make_network

ROWS = [Measurement(10 * k, 0.1 * k, k - 3.0, k - 2.5, 1e-3 / k) for k in (1, 2, 3)]


@pytest.mark.parametrize(
    ("kind", "tolerance"), [("float32", 0.0), ("float16", 1e-3), ("int8", 2e-2)]
)
def test_a_model_folder_loads_as_a_model(
    tmp_path: Path, write_recipe: Callable[..., Recipe], kind: str, tolerance: float
) -> None:
    recipe = write_recipe(save_every=f'2\nweights = "{kind}"')
    network = make_network(recipe).eval()
    folder = tmp_path / "out"
    folder.mkdir()
    write_model_folder(folder, recipe, config_values(network), network.state_dict(), ROWS[-1])
    entry = entry_from_folder(folder)
    assert entry.parameters == sum(p.numel() for p in network.parameters())
    assert entry.macs_per_second > 0
    assert dict(entry.scores) == {"dev SI-SDRi": 0.5}
    assert entry.download_bytes == (folder / "model.safetensors").stat().st_size
    loaded = load_model(entry).network
    for key, value in loaded.state_dict().items():
        assert value.dtype == torch.float32
        assert (value - network.state_dict()[key]).abs().max() <= tolerance, key


def test_toml_comes_back_as_it_was() -> None:
    values = {
        "text": 'quotes " and \\ and ü',
        "number": 3,
        "real": 0.25,
        "small": 1e-07,
        "beyond": float("inf"),
        "yes": True,
        "list": [1, 2],
        "names": ["a", "b.c"],
        "table": {"plain": 1, "with space and.dot": "x", "within": {"deep": 2}},
    }
    assert tomllib.loads(to_toml(values)) == values


def test_logs_come_back_as_they_were(tmp_path: Path) -> None:
    write_log(tmp_path / "log.csv", ROWS)
    back = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [row["step"] for row in back] == ["10", "20", "30"]
    assert float(back[2]["rate"]) == pytest.approx(ROWS[2].rate, rel=1e-5)


def test_a_curve_is_a_picture(tmp_path: Path) -> None:
    plot_curve(ROWS, tmp_path / "curve.png", "name")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_curve_without_room_is_told_and_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "curve.png"
    path.write_bytes(b"before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="no space"):
        plot_curve(ROWS, path, "name")
    assert path.read_bytes() == b"before"
