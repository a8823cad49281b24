"""What answers at once does not wait for what separates."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.cli import app

HEAVY = ("torch", "numpy", "soundfile", "soxr", "scipy", "huggingface_hub", "lightning")


@pytest.mark.parametrize(
    "arguments,allowed",
    [(["--help"], ()), (["separate", "--help"], ()), (["info"], ("huggingface_hub",))],
)
def test_no_heavy_imports(arguments: list[str], allowed: tuple[str, ...]) -> None:
    program = (
        "import sys\n"
        "from sepcli.cli.app import main\n"
        f"sys.argv = ['sepcli', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('loaded:', *[m for m in {HEAVY!r} if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.splitlines()[-1].removeprefix("loaded:").split()
    assert sorted(set(loaded) - set(allowed)) == []


def test_a_recording_of_one_chunk_needs_no_scipy(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.full(800, 0.1), 8000)
    program = (
        "import sys\n"
        "from sepcli.cli.app import main\n"
        "sys.argv = ['sepcli', 'separate', 'short.wav', '-m', 'groupcomm-8k']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('scipy' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1] == "False", done.stderr


THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK")
X86 = platform.machine() in ("x86_64", "AMD64")  # elsewhere torch itself may use OpenBLAS


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str | None]]:
    """Return what answers which threads a command is left with: numpy's, and torch's."""

    def started(**set_already: str) -> list[str | None]:
        for name in THREADS:
            monkeypatch.delenv(name, raising=False)
        for name, value in set_already.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["sepcli", "--version"])
        with pytest.raises(SystemExit):
            app.main()
        return [os.environ.pop(name, None) for name in THREADS[:2]]

    return started


@pytest.mark.skipif(not X86, reason="torch itself may use OpenBLAS there")
@pytest.mark.parametrize("wanted", ["", "3"])
def test_numpy_takes_one_thread_unless_told_otherwise(
    threads: Callable[..., list[str | None]], wanted: str
) -> None:
    given = {"OPENBLAS_NUM_THREADS": wanted} if wanted else {}
    assert threads(**given)[0] == (wanted or "1")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Slurm is of Linux")
@pytest.mark.parametrize(
    ("set_already", "expected"),
    [
        ({"SLURM_CPUS_PER_TASK": "1"}, "1"),  # the machine may have more
        ({"SLURM_CPUS_PER_TASK": "999"}, "all"),  # srun without --cpus-per-task gives fewer
        ({"SLURM_CPUS_PER_TASK": "1", "OMP_NUM_THREADS": "3"}, "3"),
        ({}, None),
    ],
)
def test_a_slurm_task_takes_as_many_threads_as_it_has_processors(
    threads: Callable[..., list[str | None]], set_already: dict[str, str], expected: str | None
) -> None:
    all_of_them = str(len(os.sched_getaffinity(0)))
    assert threads(**set_already)[1] == (all_of_them if expected == "all" else expected)
