"""Processor time and memory of the published networks, for docs/models.md and docs/chunks.md.

    python benchmarks/speeds.py                                # a chunk of 4 s, every network
    python benchmarks/speeds.py tiger-speech --chunk 8 16      # other chunks of some
    python benchmarks/speeds.py table                          # what docs/chunks.md has of it

One chunk of noise goes through the network as `sepcli separate` runs it, on one thread, in a
process of its own, after a short one that is not timed. Processor time is what counts, so that
other programs on the machine matter little; weights are random, which take as long. Models of one
architecture, configuration and rate are one network. Results go to docs/speeds.json, where they
stay until they are measured again.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from shipped import processor

from sepcli.evaluation import benchmark
from sepcli.memory import keep_freed_memory
from sepcli.models.entry import ModelEntry
from sepcli.models.registry import find_entry, load_entries
from sepcli.separation.runner import Runner

FILE = Path(__file__).parents[1] / "docs" / "speeds.json"
WARM_UP_SECONDS = 0.5


def networks() -> Iterator[ModelEntry]:
    """Yield the first entry of each published network, the one with the fewest operations first."""
    seen = set()
    for entry in sorted(load_entries().values(), key=lambda entry: entry.macs_per_second):
        key = key_of(entry)
        if entry.repo and key not in seen:
            seen.add(key)
            yield entry


def key_of(entry: ModelEntry) -> str:
    """Return what tells networks apart: architecture, rate and configuration."""
    config = json.dumps(dict(entry.config), sort_keys=True, default=list)
    return f"{entry.architecture} {entry.sample_rate} {config}"


def measure(name: str, seconds: float) -> dict[str, Any]:
    """Return processor time a second of audio [s], and the memory of the process [bytes]."""
    torch.set_num_threads(1)
    keep_freed_memory()  # as the command does
    entry = find_entry(name)
    runner = Runner(benchmark.random_network(entry), torch.device("cpu"))
    runner.run([benchmark.noise(round(WARM_UP_SECONDS * entry.sample_rate), 0)])
    chunk = benchmark.noise(round(seconds * entry.sample_rate), 1)
    began = time.process_time()
    runner.run([chunk])
    took = (time.process_time() - began) / seconds
    return {"seconds": round(took, 4), "bytes": benchmark.peak_bytes(torch.device("cpu"))}


def table(known: dict[str, Any]) -> Iterator[str]:
    """Yield a row for each network measured with several chunks: a second of a long recording."""
    lengths = sorted({float(length) for row in known.values() for length in row["chunks"]})
    yield "| model |" + "".join(f" {length:g} s |" for length in lengths)
    yield "|---" * (1 + len(lengths)) + "|"
    for name, row in known.items():
        if len(row["chunks"]) > 1:
            cells = [cost(find_entry(name), length, row["chunks"]) for length in lengths]
            yield f"| {name} | {' | '.join(cells)} |"


def cost(entry: ModelEntry, seconds: float, chunks: dict[str, Any]) -> str:
    """Return processor time a second of a long recording, its overlaps included, and memory."""
    if (found := chunks.get(f"{seconds:g}")) is None:
        return ""
    time_a_second = found["seconds"] * seconds / (seconds - entry.overlap_seconds)
    return f"{time_a_second:.2f} s, {found['bytes'] / 1e9:.2f} GB"


def main() -> None:
    """Measure, or print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", help="models, or: table")
    parser.add_argument("--chunk", nargs="+", type=float, default=[4.0], help="[s]")
    parser.add_argument("--one", action="store_true", help="measure in this process, and print")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.what[0], arguments.chunk[0])))
        return
    known = json.loads(FILE.read_text()) if FILE.is_file() else {}
    if arguments.what == ["table"]:
        print("\n".join(table(known)))
        return
    for name in arguments.what or [entry.name for entry in networks()]:
        for seconds in arguments.chunk:
            command = [sys.executable, __file__, "--one", name, "--chunk", f"{seconds:g}"]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                sys.exit(done.stderr)
            found = json.loads(done.stdout)
            row = known.setdefault(name, {"processor": processor(), "chunks": {}})
            row["chunks"][f"{seconds:g}"] = found
            FILE.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
            print(name, seconds, found, flush=True)


if __name__ == "__main__":
    main()
