"""The README says what the repository does."""

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("tool", ["tables", "reference"])
def test_pages_are_what_the_tools_make_of_the_code(
    tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [f"tools/{tool}.py", "--check"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "tools" / f"{tool}.py"), run_name="__main__")
    assert not ended.value.code, f"run python tools/{tool}.py"


def test_every_file_it_names_is_there() -> None:
    named = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(
        r"`((?:examples|docs)/[^`]+)`", README
    )
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_its_second_command_is_what_ci_runs() -> None:
    assert "```sh\nmake ci\n```" in README
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make ci"


def test_the_demo_separates_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["demo.py"])
    runpy.run_path(str(ROOT / "examples" / "demo.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    info = soundfile.info(ROOT / "examples" / "mixture.flac")
    for path in lines[:2]:
        output = soundfile.info(tmp_path / path)
        assert (output.frames, output.samplerate) == (info.frames, info.samplerate)
    found = re.fullmatch(r"SI-SDR improvement: (\S+) dB", lines[2])
    assert found
    assert float(found[1]) > 5  # what the shipped network promises on it


def test_the_python_example_runs_as_it_stands_in_the_readme(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["separation"].estimates.shape == (2, 64_000)
    assert names["separation"].sample_rate == 8000
