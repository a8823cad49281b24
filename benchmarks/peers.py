"""Time the networks against SpeechBrain's and asteroid's own, on the same random weights, by turns.

    OMP_NUM_THREADS=1 python benchmarks/peers.py [--seconds 4 30] [--runs 3] [NAME ...]

Both packages are installed into a folder of their own (`--folder`), see peer_networks.py. Each form
runs in a process of its own: ours as `sepcli separate` runs it, theirs as a script of their users
does, without settings of the allocator.

`ratio` is their processor time over ours, median of pairs; `without kernel` leaves out what the
system took for both, which is pages of memory above all; `memory` is the highest above what was
there before the first run; `differ` is the largest difference, relative to the largest sample.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_networks import THEIRS, make_importable
from torch import nn

from sepcli.evaluation.benchmark import random_network
from sepcli.memory import keep_freed_memory
from sepcli.models.registry import find_entry
from sepcli.networks import fast

MODELS = (
    "sepformer-wsj02mix",
    "resepformer-wsj02mix",
    "convtasnet-libri2mix-clean-8k",
    "dprnn-ks16-wham",
)
MEGABYTE = 1e6


def built(who: str, name: str, state: Path) -> nn.Module:
    """Return a network in eval mode; ours leaves its weights in a file, theirs takes them."""
    entry = find_entry(name)
    if who == "theirs":
        network = THEIRS[entry.architecture](entry.config)
        network.load_state_dict(torch.load(state))
        return network.eval()
    keep_freed_memory()
    plain = random_network(entry)
    torch.save(plain.state_dict(), state)
    return fast.optimize(plain)


def memory(field: str) -> float:
    """Return a field of this process's memory in /proc/self/status [MB]."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(field))
    return int(line.split()[1]) * 1024 / MEGABYTE


@torch.inference_mode()
def work(who: str, name: str, seconds: float, folder: Path) -> None:
    """Run once, then again for each line of stdin; print what each took, as JSON."""
    network = built(who, name, folder / "state.pt")
    samples = round(seconds * find_entry(name).sample_rate)
    mixture = 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
    np.save(folder / f"{who}.npy", network(mixture).numpy())
    print(json.dumps({}), flush=True)
    for _ in sys.stdin:
        start = resource.getrusage(resource.RUSAGE_SELF)
        network(mixture)
        stop = resource.getrusage(resource.RUSAGE_SELF)
        user = stop.ru_utime - start.ru_utime
        whole = user + stop.ru_stime - start.ru_stime
        high = memory("VmHWM") - before
        print(json.dumps({"user": user, "whole": whole, "memory": high}), flush=True)


def row(name: str, seconds: float, runs: int, packages: Path) -> str:
    """Return a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        workers = {}
        for who in ("ours", "theirs"):
            arguments = [name, "--folder", packages, "--worker", who, folder, "--seconds", seconds]
            workers[who] = subprocess.Popen(
                [sys.executable, __file__, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            answer(workers[who])
        pairs = [{who: turn(worker) for who, worker in workers.items()} for _ in range(runs)]
        for worker in workers.values():
            worker.communicate()
        ours, theirs = (np.load(Path(folder) / f"{who}.npy") for who in workers)
    differ = np.abs(ours - theirs).max() / np.abs(theirs).max()

    def middle(value: Callable[[Any], float]) -> float:
        return statistics.median(map(value, pairs))

    ours_s, theirs_s = (middle(lambda pair, who=who: pair[who]["whole"]) for who in workers)
    ratio, user = (
        middle(lambda pair, part=part: pair["theirs"][part] / pair["ours"][part])
        for part in ("whole", "user")
    )
    high = " | ".join(f"{pairs[-1][who]['memory']:.0f} MB" for who in workers)
    return (
        f"| {name} | {seconds:g} s | {ours_s:.2f} s | {theirs_s:.2f} s | {ratio:.2f} | {user:.2f} "
        f"| {high} | {differ:.0e} |"
    )


def turn(worker: "subprocess.Popen[str]") -> dict[str, float]:
    """Return what the next run of a worker took."""
    assert worker.stdin is not None
    worker.stdin.write("\n")
    worker.stdin.flush()
    return answer(worker)


def answer(worker: "subprocess.Popen[str]") -> dict[str, float]:
    """Return what a worker says next; end with it where it says nothing."""
    assert worker.stdout is not None
    for line in worker.stdout:
        if line.startswith("{"):
            found: dict[str, float] = json.loads(line)
            return found
    raise SystemExit("error: a network could not be run, see above")


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=MODELS, metavar="NAME")
    parser.add_argument("--seconds", type=float, nargs="+", default=[4, 30], help="of audio")
    parser.add_argument("--runs", type=int, default=3, help="of each")
    parser.add_argument("--folder", type=Path, default=Path("build/peers"), help="of packages")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    make_importable(options.folder)
    if options.worker:
        who, folder = options.worker
        return work(who, options.names[0], options.seconds[0], Path(folder))
    columns = "network | audio | ours | theirs | ratio | without kernel | ours | theirs | differ"
    print(f"| {columns} |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.names:
        for seconds in options.seconds:
            print(row(name, seconds, options.runs, options.folder), flush=True)


if __name__ == "__main__":
    main()
