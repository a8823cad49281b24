"""How fast a network runs here: each setting in a process of its own, beside the matrix product.

Runs of the network and of a large matrix product take turns, so that both meet the same machine;
the share of the product's rate that the network reaches then says how much is left to win.
Weights that are not on this computer are replaced by random ones, which take as long.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sepcli.errors import SepcliError
from sepcli.evaluation.complexity import count_macs, count_parameters
from sepcli.evaluation.contest import PYTHON, imports_as_here
from sepcli.evaluation.metrics import si_sdr
from sepcli.memory import keep_freed_memory
from sepcli.models.build import build_network, fresh_network
from sepcli.models.cache import cached_files
from sepcli.models.entry import ModelEntry, make_entry
from sepcli.models.load import load_model
from sepcli.models.registry import read_toml
from sepcli.models.resolve import resolve_model
from sepcli.networks.layers import linear
from sepcli.separation.choices import Precision
from sepcli.separation.runner import Runner, choose_device

PRODUCT_SIZE = 1536  # rows and columns of the matrix product; three of them fit an L3 cache
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
RECIPE_KEYS = ("architecture", "sample_rate", "config")  # of its [model], which an entry has too
WORKER = "from sepcli.evaluation.benchmark import serve; serve()"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one process measures.

    Attributes:
        model: Name of an entry, a model folder, `hf:ORG/REPO`, or a training recipe's path.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: Number format of matrix products.
        chunk_seconds: Length of a chunk [s].
        batch_size: Chunks run at once.
        runs: Timed runs, after one that is not.
        threads: Threads of the processor; 0 leaves them as they are.
    """

    model: str
    device: str = "auto"
    precision: Precision = "fp32"
    chunk_seconds: float = 4.0
    batch_size: int = 1
    runs: int = 5
    threads: int = 0


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured; medians over the runs.

    Attributes:
        model: As asked for.
        device: Where it ran.
        precision: Number format of matrix products.
        threads: Threads of the processor.
        chunk_seconds: Length of a chunk [s].
        batch_size: Chunks run at once.
        sample_rate: The network's rate [Hz].
        parameters: Trainable ones.
        random_weights: Whether the weights were not here and random ones took their place.
        load_seconds: Time to read the weights and build the network, without imports [s].
        seconds: Time of one batch [s].
        fastest_seconds: That of the fastest run [s].
        real_time_factor: Time over length of the audio.
        macs_per_second: Multiply-accumulates per second of audio.
        gflops: Rate reached, two operations to a multiply-accumulate.
        product_gflops: Rate of a large matrix product in the same process and precision.
        share: `gflops` over `product_gflops`.
        peak_bytes: Most memory the process held; on a GPU, that of the GPU; None: not told.
        times_fp32: How many times as fast as fp32 a lower precision is, runs by turns.
        si_sdr_to_fp32_db: Estimates of a lower precision against those of fp32 [dB].
    """

    model: str
    device: str
    precision: str
    threads: int
    chunk_seconds: float
    batch_size: int
    sample_rate: int
    parameters: int
    random_weights: bool
    load_seconds: float
    seconds: float
    fastest_seconds: float
    real_time_factor: float
    macs_per_second: float
    gflops: float
    product_gflops: float
    share: float
    peak_bytes: int | None
    times_fp32: float | None = None
    si_sdr_to_fp32_db: float | None = None


def run(setting: Setting) -> Result:
    """Return what one setting measures, in a new process.

    Raises:
        SepcliError: The model, its weights or the device are not as they should be.
    """
    threads = {"OMP_NUM_THREADS": str(setting.threads)} if setting.threads else {}
    worker = subprocess.run(
        [*PYTHON, "-c", WORKER],
        input=json.dumps(asdict(setting)),
        capture_output=True,
        text=True,
        env=imports_as_here() | threads,
        check=False,
    )
    try:
        answer = json.loads(worker.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (worker.stderr.strip().splitlines() or ["no message"])[-1]
        raise SepcliError(
            f"measuring {setting.model} ended with {worker.returncode}: {last}",
            "try a shorter --chunk or a smaller --batch-size",
        ) from None
    if "error" in answer:
        raise SepcliError(answer["error"], answer["hint"])
    return Result(**answer)


def serve() -> None:
    """Measure the setting that stdin holds and answer on stdout; what a worker process does."""
    keep_freed_memory()  # as the command line does
    setting = Setting(**json.load(sys.stdin))
    with contextlib.redirect_stdout(sys.stderr):
        try:
            answer = asdict(measure(setting))
        except SepcliError as failure:
            answer = {"error": failure.message, "hint": failure.hint}
    sys.stdout.write(json.dumps(answer) + "\n")


def measure(setting: Setting) -> Result:
    """Return what one setting measures, in this process."""
    if setting.threads:
        torch.set_num_threads(setting.threads)
    device = choose_device(setting.device)
    entry, may_load = entry_of(setting.model)
    start = time.perf_counter()
    network = load_model(entry).network if may_load else random_network(entry)
    runner = Runner(network, device, setting.precision, setting.batch_size)
    load_seconds = time.perf_counter() - start
    num_samples = round(setting.chunk_seconds * entry.sample_rate)
    chunks = [noise(num_samples, seed) for seed in range(setting.batch_size)]
    products = _products(device, setting.precision)
    times, rates = [], []
    for _ in range(setting.runs + 1):
        fastest = min(_timed(product, device) for product in products)
        rates.append(2 * PRODUCT_SIZE**3 / fastest / 1e9)
        times.append(_timed(lambda: runner.run(chunks), device))
    peak = peak_bytes(device)  # before anything else is run
    seconds, rate = statistics.median(times[1:]), statistics.median(rates[1:])
    audio_seconds = setting.chunk_seconds * setting.batch_size
    plan, _ = build_network(entry.architecture, _config(entry), where=f"model {entry.name}")
    macs = count_macs(plan, num_samples) / setting.chunk_seconds
    gflops = 2 * macs * audio_seconds / seconds / 1e9
    gain, price = _gain_and_price(network, device, setting, chunks)
    return Result(
        model=setting.model,
        device=str(device),
        precision=setting.precision,
        threads=torch.get_num_threads(),
        chunk_seconds=setting.chunk_seconds,
        batch_size=setting.batch_size,
        sample_rate=entry.sample_rate,
        parameters=count_parameters(plan),
        random_weights=not may_load,
        load_seconds=load_seconds,
        seconds=seconds,
        fastest_seconds=min(times[1:]),
        real_time_factor=seconds / audio_seconds,
        macs_per_second=macs,
        gflops=gflops,
        product_gflops=rate,
        share=gflops / rate,
        peak_bytes=peak,
        times_fp32=gain,
        si_sdr_to_fp32_db=price,
    )


def entry_of(model: str) -> tuple[ModelEntry, bool]:
    """Return a model's entry, and whether its weights are here."""
    if not model.endswith(".toml"):
        entry = resolve_model(model)
        return entry, cached_files(entry) is not None
    wanted = read_toml(Path(model)).get("model", {})
    body = {key: wanted[key] for key in RECIPE_KEYS if key in wanted} | {
        "format": "safetensors",
        "files": ["model.safetensors"],
        "speakers": wanted.get("config", {}).get("num_speakers", 2),
    }
    name = wanted.get("name", Path(model).stem)
    return make_entry(name, body, source=model, folder=Path(model).parent), False


def _config(entry: ModelEntry) -> dict[str, Any]:
    if not entry.config and entry.repo:
        raise SepcliError(
            f"nothing to build the network from: {entry.name}", f"sepcli download {entry.name}"
        )
    return dict(entry.config)


def random_network(entry: ModelEntry) -> nn.Module:
    """Return the entry's network with weights of seed 0."""
    where = f"model {entry.name}"
    return fresh_network(entry.architecture, _config(entry), 0, where=where).eval()


def noise(num_samples: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return white noise as loud as speech, `[samples]`."""
    random = np.random.default_rng(seed)
    return (0.1 * random.standard_normal(num_samples)).astype(np.float32)


def _products(device: torch.device, precision: Precision) -> list[Callable[[], object]]:
    """Return calls that multiply two large matrices, one for each library that may be fastest."""
    left = torch.randn(PRODUCT_SIZE, PRODUCT_SIZE, device=device, dtype=DTYPES[precision])
    result = torch.empty_like(left)
    return [lambda: torch.mm(left, left, out=result), lambda: linear(left, left)]


def _timed(call: Callable[[], object], device: torch.device) -> float:
    """Return how long a call takes, until the device has done it [s]."""
    _wait_for(device)
    start = time.perf_counter()
    with torch.inference_mode():
        call()
    _wait_for(device)
    return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_bytes(device: torch.device) -> int | None:
    """Return the most memory held, of the GPU or of this process; None where none is told."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError):  # Linux: getrusage would count the parent's before exec
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _gain_and_price(
    network: nn.Module,
    device: torch.device,
    setting: Setting,
    chunks: list[np.ndarray[Any, np.dtype[np.float32]]],
) -> tuple[float, float] | tuple[None, None]:
    """Return how many times as fast as fp32 a lower precision is, and its SI-SDR to fp32 [dB]."""
    if setting.precision == "fp32":
        return None, None
    exact = Runner(network, device, "fp32", setting.batch_size)
    lower = Runner(network, device, setting.precision, setting.batch_size)
    score = si_sdr(np.stack(lower.run(chunks)), np.stack(exact.run(chunks)))
    ratios = []
    for _ in range(setting.runs):
        long = _timed(lambda: exact.run(chunks), device)
        ratios.append(long / _timed(lambda: lower.run(chunks), device))
    return statistics.median(ratios), float(score.nanmean())
