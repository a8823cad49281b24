"""What a run with the default model recommends, and to whom."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.cli import console
from sepcli.cli.report import suggest_model
from sepcli.models.registry import DEFAULT_MODEL, find_entry
from sepcli.separation.jobs import Job


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (8000, "better on such recordings: --model spgm-base (115 MB)"),
        (44100, "better on such recordings: --model tiger-speech (3 MB)"),
    ],
)
def test_a_larger_model_is_named_for_the_recording(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    rate: int,
    said: str,
) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(rate), rate)
    job = Job(tmp_path / "a.wav", ())
    suggest_model(find_entry(DEFAULT_MODEL), job)
    assert capfd.readouterr() == ("", "")  # no terminal, nobody who reads it
    monkeypatch.setattr(console, "has_terminal", lambda: True)
    suggest_model(find_entry(DEFAULT_MODEL), job)
    assert capfd.readouterr().err == f"model: {DEFAULT_MODEL}; {said}\n"
    suggest_model(find_entry(DEFAULT_MODEL), Job(tmp_path / "absent.wav", ()))
    assert capfd.readouterr().err == ""
