"""Signals that come before the command has begun, while it runs, and when it has ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

NUMBERS = (signal.SIGINT, signal.SIGTERM)


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("arguments", [["--version"], ["separate", "a.wav", "--speakers", "few"]])
def test_a_process_that_is_ending_ends_at_once(
    number: signal.Signals, arguments: list[str]
) -> None:
    program = (
        "import atexit, os\n"
        f"atexit.register(lambda: os.kill(os.getpid(), {int(number)}))\n"
        "from sepcli.cli.app import main\n"
        "main()\n"
    )
    done = _run(program, *arguments)
    assert done.returncode == -number
    assert done.stdout or done.stderr.startswith("error: ")  # the command had its say
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", NUMBERS)
def test_a_running_command_says_that_it_was_interrupted(number: signal.Signals) -> None:
    program = (
        "import os\n"
        "import sepcli.cli.app as cli\n"
        f"cli.app = lambda **_: os.kill(os.getpid(), {int(number)})\n"
        "cli.main()\n"
    )
    done = _run(program)
    assert (done.returncode, done.stderr) == (
        128 + number,
        "interrupted: finished outputs are kept\n",
    )


def test_an_interruption_is_not_lost_where_exceptions_are_swallowed() -> None:
    program = (
        "import os, time\n"
        "import sepcli.cli.app as cli\n"
        "class Finalised:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), 15)\n"
        "def app(**_):\n"
        "    Finalised()\n"
        "    time.sleep(300)\n"
        "cli.app = app\n"
        "cli.main()\n"
    )
    done = _run(program)
    assert (done.returncode, done.stderr) == (143, "interrupted: finished outputs are kept\n")


def test_an_interruption_while_a_class_is_made_is_one() -> None:
    program = (
        "import os\n"
        "import sepcli.cli.app as cli\n"
        "class Field:\n"
        "    def __set_name__(self, owner, name):\n"
        "        os.kill(os.getpid(), 2)\n"
        "cli.app = lambda **_: type('Options', (), {'field': Field()})\n"
        "cli.main()\n"
    )
    done = _run(program)
    assert (done.returncode, done.stderr) == (130, "interrupted: finished outputs are kept\n")


def test_a_process_that_is_starting_ends_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os\nos.kill(os.getpid(), 2)\n")
    command = [sys.executable, "-m", "sepcli", "--version"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


@pytest.mark.parametrize("code,says", [(130, "out\n"), (1, "out\nlate\n")])
def test_an_interrupted_process_does_not_stay_to_tidy_memory(code: int, says: str) -> None:
    program = (
        "import atexit, sys\n"
        "atexit.register(print, 'late')\n"
        "import sepcli.__main__ as command\n"
        "def main():\n"
        "    print('out')\n"
        f"    sys.exit({code})\n"
        "command.app.main = main\n"
        "command.main()\n"
    )
    done = _run(program)
    assert (done.returncode, done.stdout, done.stderr) == (code, says, "")
