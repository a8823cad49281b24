"""Print where a network's processor time goes, by kind of operation, and how fast its products are.

    OMP_NUM_THREADS=1 python benchmarks/profile_networks.py [--seconds 4] [--runs 3] [NAME ...]

Every operation that torch dispatches is timed by the clock of its thread, so other programs do not
count; the Python between operations is left out. Networks run as `sepcli separate` runs them, with
random weights. `at` is the rate of multiply-accumulates over that of two large matrices which the
same process multiplies in between: where it is near 100 %, only fewer of them would be faster.
"""

import argparse
import math
import time
from collections import defaultdict
from typing import Any

import torch
from peers import MODELS
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sepcli.evaluation.benchmark import random_network
from sepcli.memory import keep_freed_memory
from sepcli.models.registry import find_entry
from sepcli.networks import fast
from sepcli.networks.layers import linear

SIZE = 1536  # rows and columns of the large matrices
KINDS = {
    "products": "_linear_pointwise linear mm addmm bmm baddbmm matmul conv1d conv2d",
    "LSTM": "mkldnn_rnn_layer",
    "attention": "scaled_dot_product_attention",
    "norms, softmax": "layer_norm mean linalg_vector_norm softmax",
    "copies": "copy_ cat stack clone contiguous reshape flatten pad",
}
PRODUCTS, REST = ("products", "LSTM", "attention"), "elementwise"


def kind_of(operation: str) -> str:
    """Return the kind of an operation."""
    return next((kind for kind, names in KINDS.items() if operation in names.split()), REST)


def macs_of(name: str, given: list[Tensor], result: Tensor) -> int:
    """Return the multiply-accumulates of an operation of the first three kinds."""
    if kind_of(name) == "LSTM":
        steps, from_input, from_hidden = given[:3]
        return math.prod(steps.shape[:2]) * (from_input.numel() + from_hidden.numel())
    if kind_of(name) == "attention":
        return 2 * given[0].numel() * given[1].shape[-2]
    if name.startswith("conv"):
        return result.numel() * given[1][0].numel()
    left = given[1] if name.startswith(("addmm", "baddbmm")) else given[0]
    return left.numel() * result.shape[-1]


class Clock(TorchDispatchMode):
    """Adds up time and multiply-accumulates of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = defaultdict(float)
        self.macs: dict[str, int] = defaultdict(int)

    def __torch_dispatch__(self, operation: Any, _: Any, args: Any = (), named: Any = None) -> Any:
        """Run an operation and note what it took."""
        kind = kind_of(name := operation.overloadpacket.__name__)
        start = time.thread_time()
        result = operation(*args, **(named or {}))
        self.seconds[kind] += time.thread_time() - start
        if kind in PRODUCTS:
            first = result[0] if isinstance(result, tuple) else result
            self.macs[kind] += macs_of(name, [a for a in args if isinstance(a, Tensor)], first)
        return result


@torch.inference_mode()
def row(name: str, seconds: float, runs: int) -> str:
    """Return a row of the table."""
    entry, matrix = find_entry(name), torch.randn(SIZE, SIZE)
    network = fast.optimize(random_network(entry))  # the form that separates
    mixture = 0.1 * torch.randn(1, round(seconds * entry.sample_rate))
    network(mixture)
    clock, large = Clock(), 0.0
    for _ in range(runs):
        with clock:
            network(mixture)
        start = time.thread_time()
        linear(matrix, matrix)
        large += time.thread_time() - start
    rate, whole = runs * SIZE**3 / large, sum(clock.seconds.values())
    cells = []
    for kind in (*KINDS, REST):
        took, macs = clock.seconds[kind], clock.macs[kind]
        speed = f" at {macs / took / rate:.0%}" if macs else ""
        cells.append(f"{took / whole:.0%}{speed}" if took else "")
    return f"| {name} | {whole / runs:.2f} s | {' | '.join(cells)} |".replace("%", " %")


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=MODELS, metavar="NAME")
    parser.add_argument("--seconds", type=float, default=4, help="of audio")
    parser.add_argument("--runs", type=int, default=3, help="of each")
    options = parser.parse_args()
    keep_freed_memory()
    print(f"| network | in all | {' | '.join((*KINDS, REST))} |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.names:
        print(row(name, options.seconds, options.runs), flush=True)


if __name__ == "__main__":
    main()
