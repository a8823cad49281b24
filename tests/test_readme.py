"""The README says what the repository does."""

import re
import subprocess
import sys
from pathlib import Path

import soundfile

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def run(*arguments: str, cwd: Path = ROOT) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tables_are_those_of_the_entries() -> None:
    run("tools/tables.py", "--check")


def test_the_reference_is_what_the_code_says() -> None:
    run("tools/reference.py", "--check")


def test_every_file_it_names_is_there() -> None:
    named = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(
        r"`((?:examples|docs)/[^`]+)`", README
    )
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_its_second_command_is_what_ci_runs() -> None:
    assert "```sh\nmake ci\n```" in README
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make ci"


def test_the_demo_separates_the_example(tmp_path: Path) -> None:
    lines = run(str(ROOT / "examples" / "demo.py"), cwd=tmp_path).splitlines()
    info = soundfile.info(ROOT / "examples" / "mixture.flac")
    for path in lines[:2]:
        output = soundfile.info(tmp_path / path)
        assert (output.frames, output.samplerate) == (info.frames, info.samplerate)
    found = re.fullmatch(r"SI-SDR improvement: (\S+) dB", lines[2])
    assert found
    assert float(found[1]) > 5  # what the shipped network promises on it


def test_the_python_example_runs_as_it_stands_in_the_readme(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(program + "\nprint(separation.estimates.shape, separation.sample_rate)\n")
    assert run(str(script)).splitlines()[-1] == "(2, 64000) 8000"
