"""What reading, ordering, joining and writing cost on top of a network.

    OMP_NUM_THREADS=1 python benchmarks/pipeline_overhead.py --model stftformer-8k
    python benchmarks/pipeline_overhead.py --clock wall

One long recording and many short ones go through the code that `sepcli separate` runs, in this
process and after a warm-up: neither start-up nor loading counts. Every run writes to a new folder
in $TMPDIR: a disk that is slow to make files shows. `TMPDIR=/dev/shm` leaves the disk out.

By default each stage is timed by the clock of the thread that it runs in, so waiting and other
programs do not count, and what is hidden behind the network in other threads does. `rest` is what
no stage covers: queues, threads, this clock. The share is everything but the network over it.

With `--clock wall`, on a computer left alone, the whole is compared with the network alone on the
same chunks, by turns: `one by one` on all cores, as `sepcli bench` times it, and `side by side` as
the whole runs them. The first two shares are what the whole takes longer than either; the third is
what it takes longer without lanes, its chunks one by one.

Models that are not on this computer get random weights, which take as long; names that end in
`.toml` are training recipes.
"""

import argparse
import functools
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from simulated import make_conversation, recipes

from sepcli import Separator
from sepcli.evaluation import benchmark
from sepcli.memory import keep_freed_memory
from sepcli.models.load import load_model
from sepcli.separation import batch, writing
from sepcli.separation.jobs import Job
from sepcli.separation.lanes import Lanes
from sepcli.separation.recording import Recording
from sepcli.separation.runner import Runner
from sepcli.separation.writing import OutputOptions

Times = dict[str, float]  # of each stage [s]

STAGES = {
    "processor": ("network", "read", "evidence", "order", "write", "rest"),
    "wall": ("whole", "without lanes", "one by one", "side by side"),
}


class Clock:
    """Processor time of each stage, in whatever thread it runs [s]."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def timed(self, call: Callable[..., Any], stage: str, inside: str = "") -> Callable[..., Any]:
        """Return `call`, its time added to `stage` and taken from the stage it runs inside."""

        @functools.wraps(call)
        def wrapper(*arguments: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return call(*arguments, **named)
            finally:
                took = time.thread_time() - began
                self.seconds[stage] += took
                if inside:
                    self.seconds[inside] -= took

        return wrapper


def watch(clock: Clock) -> None:
    """Time the stages of everything that is separated from now on."""
    Runner._forward = clock.timed(Runner._forward, "network")
    Recording.accept = clock.timed(Recording.accept, "evidence")
    Recording.solve = clock.timed(Recording.solve, "order", inside="write")
    batch.prepare = clock.timed(batch.prepare, "read")
    batch.deliver = clock.timed(writing.deliver, "write")


def load(model: str) -> Separator:
    """Return the separator; with random weights where there are none."""
    entry, is_here = benchmark.entry_of(model)
    if is_here:
        return Separator(load_model(entry).network, entry)
    return Separator(benchmark.random_network(entry), entry)


def write_recordings(
    folder: Path, speech: Path, count: int, seconds: float, sample_rate: int
) -> list[Path]:
    """Write pieces of a conversation as 16-bit WAV, mono, repeated where it is too short."""
    mixture = make_conversation(recipes(1, 2, sample_rate)[0], speech).mixture
    length = round(seconds * sample_rate)
    mixture = np.tile(mixture, -(-length // len(mixture)) + 1)
    starts = np.linspace(0, len(mixture) - length - 1, count).astype(int)
    paths = [folder / f"{number}.wav" for number in range(count)]
    for path, start in zip(paths, starts, strict=True):
        soundfile.write(path, mixture[start : start + length], sample_rate, "PCM_16")
    return paths


def separate(separator: Separator, paths: list[Path], out: Path) -> None:
    """Separate all of `paths` as the command does."""
    jobs = [Job(p, (out / f"{p.stem}_spk1.wav", out / f"{p.stem}_spk2.wav")) for p in paths]
    for outcome in batch.separate_jobs(separator.pipeline, jobs, OutputOptions()):
        if outcome.error is not None:
            raise outcome.error


def run_in_processor_time(
    clock: Clock, separator: Separator, paths: list[Path], out: Path
) -> Times:
    """Return the processor time of each stage for separating all of `paths` [s]."""
    clock.seconds.clear()
    began = time.process_time()
    separate(separator, paths, out)
    total = time.process_time() - began
    return {**clock.seconds, "rest": total - sum(clock.seconds.values())}


def run_on_the_wall(separator: Separator, paths: list[Path], out: Path) -> Times:
    """Return the time on the clock of the whole, and of the network alone in two ways [s]."""
    given: list[Any] = []
    forward = separator.pipeline.runner._forward

    def listening(chunks: Any) -> Any:
        given.append(chunks)
        return forward(chunks)

    separator.pipeline.runner._forward = listening  # type: ignore[method-assign]
    began = time.perf_counter()
    separate(separator, paths, out)
    times = {"whole": time.perf_counter() - began}
    del separator.pipeline.runner._forward
    times["without lanes"] = without_lanes(separator, paths, out.with_name(f"{out.name} alone"))
    began = time.perf_counter()
    for chunks in given:
        forward(chunks)
    times["one by one"] = time.perf_counter() - began
    began = time.perf_counter()
    with Lanes(separator.pipeline.runner.network, separator.pipeline._num_lanes) as lanes:
        for running in [lanes.start(forward, chunks) for chunks in given]:
            running.result()
    times["side by side"] = time.perf_counter() - began
    return times


def without_lanes(separator: Separator, paths: list[Path], out: Path) -> float:
    """Return the time on the clock of the whole where chunks go one by one [s]."""
    usual = separator.pipeline._num_lanes
    separator.pipeline._num_lanes = 1
    began = time.perf_counter()
    separate(separator, paths, out)
    separator.pipeline._num_lanes = usual
    return time.perf_counter() - began


def shares_of(times: Times) -> list[float]:
    """Return what all but the network costs, over the network; on the clock as `main` heads it."""
    if "whole" in times:
        network = [times["whole"] / times[way] - 1.0 for way in ("one by one", "side by side")]
        return [*network, times["without lanes"] / times["whole"] - 1.0]
    return [sum(times.values()) / times["network"] - 1.0]


def measure(
    arguments: argparse.Namespace,
    separators: dict[str, Separator],
    run: Callable[[Separator, list[Path], Path], Times],
) -> Iterator[str]:
    """Yield the rows of the table; runs of all models and cases by turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = {
            f"1 × {arguments.long:g} s": (1, arguments.long),
            f"{arguments.count} × {arguments.short:g} s": (arguments.count, arguments.short),
        }
        paths = {}
        for title, (count, seconds) in cases.items():
            (folder / title).mkdir()
            rate = arguments.sample_rate
            paths[title] = write_recordings(folder / title, arguments.speech, count, seconds, rate)
        found: dict[tuple[str, str], list[Times]] = defaultdict(list)
        for number in range(arguments.repeats + 1):
            for title in cases:
                for model, separator in separators.items():
                    out = folder / f"{number} {title} {separator.entry.name}"
                    times = run(separator, paths[title], out)
                    if number:
                        found[model, title].append(times)
        for (model, title), runs in found.items():
            stages = STAGES[arguments.clock]
            cells = [statistics.median(each.get(stage, 0.0) for each in runs) for stage in stages]
            shares = map(statistics.median, zip(*map(shares_of, runs), strict=True))
            row = [model, title, *(f"{cell:.3f}" for cell in cells)]
            yield "| " + " | ".join([*row, *(f"{100 * share:.1f} %" for share in shares)]) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, default=Path("../shared/speech"))
    parser.add_argument("--model", nargs="+", default=["stftformer-8k"])
    parser.add_argument("--sample-rate", type=int, default=8000, help="of the recordings [Hz]")
    parser.add_argument("--long", type=float, default=600.0, help="length of one recording [s]")
    parser.add_argument("--count", type=int, default=100, help="short recordings")
    parser.add_argument("--short", type=float, default=6.0, help="length of each of them [s]")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clock", choices=STAGES, default="processor")
    arguments = parser.parse_args()
    run = run_on_the_wall
    if arguments.clock == "processor":
        torch.set_num_threads(1)  # the clocks of threads that torch starts itself cannot be read
        clock = Clock()
        watch(clock)
        run = functools.partial(run_in_processor_time, clock)
    keep_freed_memory()  # as the command does
    stages = STAGES[arguments.clock]
    heads = ["model", "recordings", *(f"{stage} [s]" for stage in stages), "share"]
    if arguments.clock == "wall":
        heads[-1:] = ["over one by one", "over side by side", "longer without lanes"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|", flush=True)
    separators = {model: load(model) for model in arguments.model}
    for row in measure(arguments, separators, run):
        print(row, flush=True)


if __name__ == "__main__":
    main()
