"""Check what runs on an accelerator: numbers, precision, memory and speed of every network.

    python benchmarks/gpu.py                     # on CUDA; at most ten minutes
    python benchmarks/gpu.py --device cpu --seconds 1 tdanet-4ms   # tries this script itself

One model of each architecture of the table, with random weights, in a `Runner` as `sepcli separate`
has it. `to CPU` is the SI-SDR of the device's estimates to the processor's, in single precision;
`bf16` and `fp16` are SI-SDRs to single precision on the same device; `speed` is seconds of audio in
a second, at the batch that the runner chose, each precision after one run that does not count.
With CUDA the memory of the process is limited at the end until a batch does not fit: the runner has
to halve it and answer the same.

Run so far on a processor only, where bf16 is autocast's and nothing is said of memory: no part that
needs CUDA (fp16, the choice of the batch, pinned memory, running out of memory) has been run yet.
"""

import argparse
import sys
import time
from collections.abc import Iterator

import numpy as np
import torch

from sepcli.errors import DeviceError
from sepcli.evaluation import metrics
from sepcli.evaluation.benchmark import random_network
from sepcli.models.entry import ModelEntry
from sepcli.models.registry import find_entry, load_entries
from sepcli.separation.choices import Precision
from sepcli.separation.runner import Runner, choose_device

BATCH = 8  # chunks that are given to the runner at once
OOM_FRACTION = 0.02  # of a GPU's memory, in which a large batch does not fit
FARTHEST_DB = 40.0  # of the device's estimates to the processor's in single precision


def entries(names: list[str]) -> Iterator[ModelEntry]:
    """Yield the entries of these names, or one of each architecture."""
    if names:
        yield from map(find_entry, names)
        return
    seen: set[str] = set()
    for entry in load_entries().values():
        if entry.architecture not in seen and entry.config:
            seen.add(entry.architecture)
            yield entry


def chunks_of(entry: ModelEntry, seconds: float, count: int) -> list[np.ndarray]:
    """Return chunks of noise, `[samples]` each."""
    shape = count, round(seconds * entry.sample_rate)
    return list((0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32))


def si_sdr(estimate: np.ndarray, reference: np.ndarray) -> float:
    """Return the SI-SDR over all speakers of a chunk at once, their means left in [dB]."""
    return float(metrics.si_sdr(estimate.ravel(), reference.ravel(), zero_mean=False))


def row(entry: ModelEntry, device: torch.device, seconds: float) -> tuple[str, bool]:
    """Return a row of the table, and whether the device gives the processor's numbers."""
    chunks = chunks_of(entry, seconds, 1 if device.type == "cpu" else BATCH)
    (expected,) = Runner(random_network(entry), torch.device("cpu")).run(chunks[:1])
    precisions: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
    found, speeds, batch = {}, [], 0
    for precision in precisions[: 2 if device.type == "cpu" else 3]:
        runner = Runner(random_network(entry), device, precision)
        found[precision] = runner.run(chunks)[0]
        began = time.perf_counter()
        runner.run(chunks)
        speeds.append(len(chunks) * seconds / (time.perf_counter() - began))
        batch = runner.batch_size
    far = si_sdr(found["fp32"], expected)
    prices = [si_sdr(found[name], found["fp32"]) for name in list(found)[1:]]
    cells = [f"{far:.0f} dB", *(f"{price:.0f} dB" for price in prices)]
    cells += [f"{speed:.1f}" for speed in speeds] + [str(batch)]
    return f"| {entry.name} | {' | '.join(cells)} |", far >= FARTHEST_DB


def check_memory(entry: ModelEntry, device: torch.device, seconds: float) -> str:
    """Return what happened when a batch did not fit into the memory of a CUDA device."""
    chunks = chunks_of(entry, seconds, 32)
    expected = Runner(random_network(entry), device, batch_size=1).run(chunks)
    messages: list[str] = []
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(OOM_FRACTION, device)
    try:
        runner = Runner(random_network(entry), device, batch_size=32, on_warning=messages.append)
        found = runner.run(chunks)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    least = min(si_sdr(one, other) for one, other in zip(found, expected, strict=True))
    return f"memory: {entry.name}: {len(messages)} times halved, {least:.0f} dB to one by one"


def main() -> None:
    """Read the command line, print the table, and fail where the numbers are others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a chunk")
    parser.add_argument("--minutes", type=float, default=10.0, help="after which no network begins")
    options = parser.parse_args()
    try:
        device = choose_device(options.device)
    except DeviceError as problem:
        sys.exit(f"error: {problem}")
    end = time.monotonic() + 60 * options.minutes
    half = ["bf16"] if device.type == "cpu" else ["bf16", "fp16"]
    columns = ["network", "to CPU", *half, *(f"speed {name}" for name in ["fp32", *half]), "batch"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    wrong = []
    for entry in entries(options.names):
        if time.monotonic() > end:
            sys.exit(f"error: time is over before {entry.name}")
        text, is_right = row(entry, device, options.seconds)
        print(text, flush=True)
        wrong += [] if is_right else [entry.name]
    if device.type == "cuda":
        print(check_memory(find_entry("sepformer-wsj02mix"), device, options.seconds))
    if wrong:
        sys.exit(f"error: other numbers than on the processor: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
