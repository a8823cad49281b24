import os
import shlex
import statistics
import sys
from pathlib import Path

import pytest

import sepcli
from sepcli.errors import SepcliError, UsageError
from sepcli.evaluation.contest import PYTHON, compare


def logging_command(log: Path, name: str) -> list[str]:
    code = f"import sys; open({str(log)!r}, 'a').write({name!r} + ' ' + sys.argv[1] + chr(10))"
    return [sys.executable, "-S", "-c", code]


def test_commands_take_turns_on_the_same_recording(tmp_path: Path) -> None:
    log = tmp_path / "log"
    ours = [*logging_command(log, "ours"), "{input}"]
    times = compare(ours, shlex.join(logging_command(log, "theirs")), 2, 0.1)
    assert {name: len(values) for name, values in times.items()} == {"sepcli": 2, "other": 2}
    assert all(value > 0 for values in times.values() for value in values)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [name for name, _ in lines] == ["ours", "theirs"] * 3  # the first turn is not timed
    assert len({path for _, path in lines}) == 1


def test_python_imports_what_this_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("statistics.py", "sepcli.py", "last/added.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*filter(None, sys.path), str(tmp_path / "last")])
    code = (
        "import added, os, pathlib, sepcli, statistics\n"
        "found = [added.__file__, sepcli.__file__, statistics.__file__]\n"
        f"pathlib.Path({str(tmp_path / 'found')!r}).write_text(os.pathsep.join(found))"
    )
    compare([*PYTHON, "-c", code], shlex.join([*PYTHON, "-c", "import statistics"]), 1, 0.1)
    assert (tmp_path / "found").read_text().split(os.pathsep) == [
        str(tmp_path / "last" / "added.py"),
        sepcli.__file__,
        statistics.__file__,
    ]


def test_the_other_command_keeps_its_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "its own")
    code = f"import os; open({str(tmp_path / 'found')!r}, 'w').write(os.environ['PYTHONPATH'])"
    compare([*PYTHON, "-c", "0"], shlex.join([sys.executable, "-c", code]), 1, 0.1)
    assert (tmp_path / "found").read_text() == "its own"


def test_failures_of_a_command_are_said() -> None:
    good = [sys.executable, "-S", "-c", "0"]
    bad = shlex.join([sys.executable, "-S", "-c", "import sys; sys.exit('no such option')"])
    with pytest.raises(SepcliError, match="command failed with 1") as caught:
        compare(good, bad, 1, 0.1)
    assert caught.value.hint == "no such option"
    told = "error: a\nerror: unknown model: nope\nhint: run sepcli info\n"
    ours = [sys.executable, "-S", "-c", f"import sys; sys.exit({told!r})"]
    with pytest.raises(SepcliError, match="command failed with 1") as caught:
        compare(ours, shlex.join(good), 1, 0.1)
    assert caught.value.hint == "unknown model: nope"
    with pytest.raises(SepcliError, match="cannot run: no-such-program"):
        compare(good, "no-such-program", 1, 0.1)
    with pytest.raises(UsageError, match=r"the command \(no closing quotation\): 'Unclosed"):
        compare(good, "'Unclosed", 1, 0.1)
