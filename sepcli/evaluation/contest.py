"""Two whole commands timed on one recording, by turns, so that both meet the same machine."""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from sepcli.errors import SepcliError, UsageError

RATE = 8000  # of the recording [Hz]
# that does not look for modules in the current folder first, where a statistics.py may be
PYTHON = (sys.executable, "-P")


def imports_as_here() -> dict[str, str]:
    """Return the environment in which `PYTHON` imports what this process does."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def compare(ours: list[str], theirs: str, runs: int, seconds: float) -> dict[str, list[float]]:
    """Return the times [s] of two whole commands on one recording, run by turns.

    Args:
        ours: sepcli, run by `PYTHON`, with `{input}` and `{output}` (a new folder) to fill in.
        theirs: The other command line; without `{input}` the recording is its last argument.
        runs: Timed runs of each, after one that is not.
        seconds: Length of the recording: noise, since its content takes no time [s].

    Raises:
        SepcliError: A command fails.
        UsageError: The other command cannot be parsed.
    """
    try:
        other = shlex.split(theirs)
    except ValueError as problem:
        raise UsageError(
            f"cannot read the command ({str(problem).lower()}): {theirs}", "check its quotes"
        ) from problem
    if not any("{input}" in word for word in other):
        other.append("{input}")
    times: dict[str, list[float]] = {"sepcli": [], "other": []}
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "mixture.wav"
        noise = 0.1 * np.random.default_rng(0).standard_normal(round(RATE * seconds))
        soundfile.write(recording, noise, RATE)
        for number in range(runs + 1):
            for name, command in (("sepcli", ours), ("other", other)):
                output = Path(folder) / f"{name}{number}"
                output.mkdir()
                filled = [_filled(word, recording, output) for word in command]
                took = _run_command(filled, imports_as_here() if command is ours else None)
                if number:
                    times[name].append(took)
    return times


def _filled(word: str, recording: Path, output: Path) -> str:
    return word.replace("{input}", str(recording)).replace("{output}", str(output))


def _run_command(command: list[str], environment: dict[str, str] | None) -> float:
    """Return the time that a command takes [s]."""
    start = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    except OSError as problem:
        hint = f"check that it is there: type {shlex.quote(command[0])}"
        raise SepcliError(f"cannot run: {command[0]}", hint) from problem
    if done.returncode:
        raise SepcliError(
            f"command failed with {done.returncode}: {shlex.join(command)}", _cause(done.stderr)
        )
    return time.perf_counter() - start


def _cause(said: str) -> str:
    """Return the line in which a command says why it failed: its last error, else its last line."""
    lines = said.strip().splitlines() or ["no message"]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines)[-1].removeprefix("error: ")
