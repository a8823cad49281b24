"""Time networks against onnxruntime with the same weights, by turns, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/against_onnxruntime.py [NAME ...] [--seconds 3 8 24]

Both run in one process that keeps freed memory, as sepcli's commands do; the graph is the one that
`sepcli export` writes. `ratio` is onnxruntime's processor time over ours, median of pairs; `differ`
is the largest difference, relative to the largest sample. Models that are not on this computer get
random weights, which take as long.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from sepcli.evaluation import benchmark
from sepcli.memory import keep_freed_memory
from sepcli.models.load import load_model
from sepcli.models.onnx import INPUT, onnx_graph
from sepcli.networks import fast

Run = Callable[[Tensor], np.ndarray]


def ours(network: nn.Module) -> Run:
    """Return a network as `sepcli separate` runs it."""
    form = fast.optimize(network)

    @torch.inference_mode()
    def run(mixture: Tensor) -> np.ndarray:
        return form(mixture).numpy()

    return run


def theirs(network: nn.Module, num_samples: int, name: str) -> Run:
    """Return a network as onnxruntime runs its graph for mixtures of one length."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    graph = onnx_graph(network, num_samples, where=name)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda mixture: session.run(None, {INPUT: mixture.numpy()})[0]


def timed(run: Run, mixture: Tensor) -> float:
    """Return the processor time of one run [s]."""
    start = time.process_time()
    run(mixture)
    return time.process_time() - start


def row(name: str, seconds: float, runs: int) -> str:
    """Return a row of the table."""
    entry, is_here = benchmark.entry_of(name)
    network = load_model(entry).network if is_here else benchmark.random_network(entry)
    num_samples = round(seconds * entry.sample_rate)
    forms = (ours(network), theirs(network, num_samples, name))
    mixture = 0.1 * torch.randn(1, num_samples, generator=torch.Generator().manual_seed(0))
    found, expected = (form(mixture) for form in forms)
    differ = np.abs(found - expected).max() / np.abs(expected).max()
    pairs = [[timed(form, mixture) for form in forms] for _ in range(runs)]
    quick, slow = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(second / first for first, second in pairs)
    return f"| {name} | {seconds:g} s | {quick:.3f} s | {slow:.3f} s | {ratio:.2f} | {differ:.0e} |"


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["ensemble-16k"], metavar="NAME")
    parser.add_argument("--seconds", type=float, nargs="+", default=[3, 8, 24], help="of audio")
    parser.add_argument("--runs", type=int, default=5, help="of each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    print("| network | audio | ours | onnxruntime | ratio | differ |\n|---|---|---|---|---|---|")
    for name in options.names:
        for seconds in options.seconds:
            print(row(name, seconds, options.runs), flush=True)


if __name__ == "__main__":
    main()
