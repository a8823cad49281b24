"""Fixtures of the command-line tests."""

from pathlib import Path

import pytest

from tests.cli.runner import CommandLine
from tests.doubles import write_model_folder


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
    return write_model_folder(tmp_path / "tiny")
