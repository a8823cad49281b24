"""What a run writes lies in the output folder and the folders for temporary files, nowhere else."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.cli.runner import CommandLine
from tests.doubles import RATE, two_voices

CHANGES = {"os.mkdir": 0, "os.rename": 1, "os.link": 1, "os.symlink": 1, "os.truncate": 0}
_seen: list[Path] = []
_listening: list[bool] = []


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    """Write down what is made or opened for writing; an audit hook can not be taken back."""
    if not _listening:
        return
    if event == "open" and isinstance(arguments[0], str | bytes):
        if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            _seen.append(Path(os.fsdecode(arguments[0])).absolute())
    elif event in CHANGES:
        _seen.append(Path(os.fsdecode(arguments[CHANGES[event]])).absolute())


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Path]]:
    """Yield the list of all that is written; temporary files go to a folder of the test's own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    if not _seen:
        sys.addaudithook(_listen)
    _seen.clear()
    _listening.append(True)
    yield _seen
    _listening.clear()


def test_nothing_is_written_elsewhere(
    sepcli: CommandLine, model_folder: Path, tmp_path: Path, written: list[Path]
) -> None:
    soundfile.write(tmp_path / "mix.wav", two_voices(3.0).sum(axis=0), RATE)
    before = {path: path.stat().st_mtime_ns for path in model_folder.iterdir()}
    written.clear()
    further = "--resume", "--segments", "cut", "--report", "pages/page.html"
    done = sepcli("separate", "mix.wav", "--model", model_folder, "-o", "out", *further)
    assert done.code == 0, done.err
    allowed = [tmp_path / name for name in ("out", "cut", "pages", "spools", "tmp")]
    inside = [path for path in written if any(path.is_relative_to(a) for a in allowed)]
    assert {path for path in written if path not in inside} <= {Path(os.devnull)}
    assert any(path.is_relative_to(tmp_path / "out") for path in inside)
    assert any(path.is_relative_to(tmp_path / "spools") for path in inside)
    assert {path: path.stat().st_mtime_ns for path in model_folder.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cut",
        "mix.wav",
        "out",
        "pages",
        "spools",
        "tiny",
        "tmp",
    ]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_outputs_obey_the_umask(sepcli: CommandLine, model_folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mix.wav", two_voices(1.0).sum(axis=0), RATE)
    before = os.umask(0o077)
    try:
        done = sepcli("separate", "mix.wav", "--model", model_folder, "-o", "out")
    finally:
        os.umask(before)
    assert done.code == 0, done.err
    assert [oct(Path(path).stat().st_mode)[-3:] for path in done.lines] == ["600", "600"]
    assert oct(Path("out").stat().st_mode)[-3:] == "700"
