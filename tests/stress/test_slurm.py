"""The README's job array on a real Slurm: a controller and a node on the loopback device.

Needs root and Debian's `slurm-wlm` and `munge`. One task is killed and requeued, and two arrays
run over the same recordings at once; then everything is there once, byte for byte what a run
without Slurm writes.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile

from tests.doubles import RATE, two_voices, write_model_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not all(shutil.which(p, path="/usr/sbin:/usr/bin") for p in ("slurmctld", "munged")),
        reason="needs Debian's slurm-wlm and munge",
    ),
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root"),
]

README = Path(__file__).parents[2] / "README.md"
NUM_RECORDINGS = 24
NUM_TASKS = 3
PROJECT = str(README.parent)

CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
JobRequeue=1
SchedulerParameters=sched_interval=1,bf_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


def free_port() -> int:
    with socket.socket() as sought:
        sought.bind(("127.0.0.1", 0))
        return int(sought.getsockname()[1])


def wait_until(told: Callable[[], object], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < end, what
        time.sleep(0.2)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield the environment in which commands reach a cluster of one node."""
    folder = tmp_path_factory.mktemp("slurm")
    for above in [folder, *folder.parents][:3]:
        above.chmod(0o755)
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    config = folder / "slurm.conf"
    ports = (free_port(), free_port())
    host = socket.gethostname()
    text = CONFIG.format(folder=folder, host=host, ports=ports, cpus=os.cpu_count())
    config.write_text(text)
    environment = os.environ | {"SLURM_CONF": str(config), "PYTHONPATH": PROJECT}
    munge = ["--key-file", key, "--socket", folder / "munge.socket", "--num-threads=2"]
    munge += ["--pid-file", folder / "munge.pid", "--log-file", folder / "munge.log"]
    munge += ["--seed-file", folder / "munge.seed", "--force"]
    servers = [
        subprocess.Popen(["/usr/sbin/munged", "--foreground", *munge]),
        subprocess.Popen(["/usr/sbin/slurmctld", "-D"], env=environment),
        subprocess.Popen(["/usr/sbin/slurmd", "-D"], env=environment),
    ]

    def is_idle() -> bool:
        said = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True)
        return said.stdout.strip() == b"idle"

    try:
        wait_until(is_idle, 60.0, "the node does not come up")
        yield environment
    finally:
        for server in reversed(servers):
            server.terminate()
            server.wait(30)


def array(folder: Path) -> str:
    """Return the README's job array, for as many tasks as this machine can bear."""
    found = re.search(r"```sh\n(#!/bin/sh\n#SBATCH.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    text = found[1].replace("1-16", f"1-{NUM_TASKS}").replace("/16", f"/{NUM_TASKS}")
    text = text.replace("--cpus-per-task=4", "--cpus-per-task=1")
    program = f"{sys.executable} -m sepcli separate recordings/ --model ./tiny --verbose "
    assert "sepcli separate recordings/ " in text
    (folder / "array.sh").write_text(text.replace("sepcli separate recordings/ ", program))
    return "array.sh"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with recordings, a model, and what a run without Slurm makes of them."""
    write_model_folder(tmp_path / "tiny")
    (tmp_path / "recordings").mkdir()
    for number in range(NUM_RECORDINGS):
        mixture = two_voices(2.0 + number % 4, number).sum(axis=0)
        soundfile.write(tmp_path / f"recordings/{number:02}.wav", mixture, RATE)
    command = [sys.executable, "-m", "sepcli", "separate", "recordings", "--model", "./tiny"]
    command += ["-o", "expected", "--quiet"]
    environment = os.environ | {"PYTHONPATH": PROJECT, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, stdout=subprocess.DEVNULL)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def submit(place: Path, environment: dict[str, str], name: str) -> str:
    """Return the number of a job array that was submitted."""
    command = ["sbatch", "--parsable", "-o", f"{name}-%a.log", "--open-mode=append", array(place)]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def wait_for(jobs: list[str], environment: dict[str, str]) -> None:
    def is_over() -> bool:
        command = ["squeue", "-h", "-j", ",".join(jobs)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done.returncode != 0 or not done.stdout.strip()

    wait_until(is_over, 900.0, "the arrays do not end")


def written(place: Path) -> list[str]:
    """Return the names that logs say were written, in all runs of all tasks."""
    lines = [line for log in place.glob("*.log") for line in log.read_text().splitlines()]
    return [Path(line).name for line in lines if line.startswith("clean/")]


def test_a_task_is_killed_and_requeued(place: Path, cluster: dict[str, str]) -> None:
    job = submit(place, cluster, "one")
    log = place / "one-1.log"
    wait_until(lambda: log.is_file() and "clean/" in log.read_text(), 300.0, "nothing is written")
    subprocess.run(["scontrol", "requeue", f"{job}_1"], env=cluster, check=True)
    wait_for([job], cluster)
    assert contents(place / "clean") == contents(place / "expected")
    names = written(place)
    assert len(names) == len(set(names)), "something was done twice"
    said = log.read_text()
    assert said.count(f"shard 1/{NUM_TASKS}: {NUM_RECORDINGS // NUM_TASKS} of") == 2
    done, skipped = re.findall(r"(\d+) done, (\d+) skipped, 0 failed", said)[-1]
    assert int(done) + int(skipped) == NUM_RECORDINGS // NUM_TASKS
    assert int(skipped) > 0


def test_two_arrays_at_once(place: Path, cluster: dict[str, str]) -> None:
    jobs = [submit(place, cluster, name) for name in ("one", "two")]
    wait_for(jobs, cluster)
    assert contents(place / "clean") == contents(place / "expected")
    names = written(place)
    assert sorted(names) == sorted(contents(place / "expected")), "something was done twice"
    for log in place.glob("*.log"):
        assert re.search(r"\d+ done, \d+ skipped, 0 failed", log.read_text()), log.read_text()
