"""What answers at once does not wait for what separates."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

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
        "sys.argv = ['sepcli', 'separate', 'short.wav', '-m', 'stftformer-8k']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('scipy' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1] == "False", done.stderr


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="torch itself may use OpenBLAS there"
)
@pytest.mark.parametrize("wanted", ["", "3"])
def test_numpy_takes_one_thread_unless_told_otherwise(wanted: str) -> None:
    program = (
        "import os, sys\n"
        "from sepcli.cli.app import main\n"
        "sys.argv = ['sepcli', '--version']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(os.environ['OPENBLAS_NUM_THREADS'])\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    if wanted:
        environment["OPENBLAS_NUM_THREADS"] = wanted
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert done.stdout.split()[-1] == (wanted or "1")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Slurm is of Linux")
@pytest.mark.parametrize(
    "set_already,expected",
    [
        ({"SLURM_CPUS_PER_TASK": "1"}, "1"),  # the machine may have more
        ({"SLURM_CPUS_PER_TASK": "999"}, "all"),  # srun without --cpus-per-task gives fewer
        ({"SLURM_CPUS_PER_TASK": "1", "OMP_NUM_THREADS": "3"}, "3"),
        ({}, "None"),
    ],
)
def test_a_slurm_task_takes_as_many_threads_as_it_has_processors(
    set_already: dict[str, str], expected: str
) -> None:
    program = (
        "import os, sys\n"
        "from sepcli.cli.app import main\n"
        "sys.argv = ['sepcli', '--version']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(os.environ.get('OMP_NUM_THREADS'), len(os.sched_getaffinity(0)))\n"
    )
    names = ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK")
    environment = {k: v for k, v in os.environ.items() if k not in names} | set_already
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    threads, processors = done.stdout.split()[-2:]
    assert threads == (processors if expected == "all" else expected)
