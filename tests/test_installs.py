"""Whether there is a set of packages in which sepcli stands beside what people have."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
BESIDE = [
    "numpy<2",
    "huggingface-hub<1",
    "transformers>=4.50,<5",
    "torch==2.8.*",
    "speechbrain",
    "pyannote.audio",
    "clearvoice",
]
OVERRIDDEN = {"clearvoice": "soundfile>=0.13"}  # what a neighbour pins without need


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="asks uv's resolver")
@pytest.mark.parametrize("neighbour", BESIDE)
def test_a_resolver_finds_a_set_beside(neighbour: str, tmp_path: Path) -> None:
    wanted = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    (tmp_path / "wanted.in").write_text("\n".join([*wanted, neighbour]))
    (tmp_path / "overridden.in").write_text(OVERRIDDEN.get(neighbour, ""))
    command = ["uv", "pip", "compile", "--quiet", "--python-version", "3.11"]
    command += ["--override", "overridden.in", "wanted.in"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if "connect" in done.stderr or "dns" in done.stderr.lower():
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
