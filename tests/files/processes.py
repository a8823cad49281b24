"""Processes that are no more."""

import subprocess
import sys
from pathlib import Path

from sepcli.files.temporary import host_token


def dead_pid() -> int:
    """Return a number that no process has."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def leave_temporary(folder: Path) -> Path:
    """Leave what a killed run leaves of a file in `folder`."""
    path = folder / f".sepcli-{host_token()}-{dead_pid()}-{0:016x}.part"
    path.touch()
    return path
