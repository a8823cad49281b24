"""Fixtures of the command-line tests."""

import dataclasses
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from sepcli.networks.spgm import Config, Network
from tests.cli.runner import CommandLine

CONFIG = Config(
    num_speakers=2, channels=8, kernel_size=16, segment=20, blocks=1, layers=1, heads=2, hidden=8
)


@pytest.fixture
def sepcli(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> CommandLine:
    """Yield the command line, with a spool and a current folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEPCLI_SPOOL", str(tmp_path / "spools"))
    return CommandLine(capfd, monkeypatch)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """Return a model folder with a very small network whose weights are random."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    torch.manual_seed(0)
    state = {key: value.contiguous() for key, value in Network(CONFIG).state_dict().items()}
    safetensors.torch.save_file(state, folder / "model.safetensors")
    config = "\n".join(
        f"{name} = {json.dumps(value)}"
        for name, value in dataclasses.asdict(CONFIG).items()
        if value is not None
    )
    (folder / "model.toml").write_text(
        'architecture = "spgm"\nformat = "safetensors"\nfiles = ["model.safetensors"]\n'
        "speakers = 2\nsample_rate = 8000\nchunk_seconds = 1.0\noverlap_seconds = 0.4\n"
        f"[config]\n{config}\n"
    )
    return folder
