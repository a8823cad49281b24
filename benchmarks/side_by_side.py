"""A network and its plain structure by turns, beside the matrix products that it is made of.

`compare` runs both, and between the runs times each matrix product of one forward pass alone, by
the fastest kernel at hand; what these take together over what the network takes is its share of the
machine's matrix-product rate, on its own shapes. The rest is what is left to win.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from sepcli.allocator import keep_freed_memory

Call = Callable[[Tensor], Tensor]
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
TRIES = 3  # of one matrix product, between two runs of the networks

HEADER = """\
| network | audio | pairs of runs | plain | sepcli | ratio | products | share | GFLOP/s | differ |
|---|---|---|---|---|---|---|---|---|---|"""


class Product(NamedTuple):
    """`batch` products of `[rows, inner]` and `[inner, outer]`; batch 0 is one linear map."""

    batch: int
    rows: int
    inner: int
    outer: int

    @property
    def flops(self) -> int:
        """Operations, two to a multiply-accumulate."""
        return 2 * max(self.batch, 1) * self.rows * self.inner * self.outer


class Recorder(TorchDispatchMode):
    """Counts the matrix products of what runs under it."""

    def __init__(self) -> None:
        super().__init__()
        self.products: Counter[Product] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        """Run an operator and note its products."""
        name = func.overloadpacket.__name__
        if name == "_linear_pointwise":
            self._add(0, args[0].numel() // args[0].shape[-1], *args[1].shape[::-1])
        elif name in ("mm", "addmm"):
            left, right = args[-2:]
            self._add(0, *left.shape, right.shape[1])
        elif name in ("bmm", "baddbmm"):
            left, right = args[-2:]
            self._add(*left.shape, right.shape[2])
        elif name == "_scaled_dot_product_flash_attention_for_cpu":
            (batch, heads, queries, width), keys = args[0].shape, args[1].shape[2]
            self._add(batch * heads, queries, width, keys)
            self._add(batch * heads, queries, keys, width)
        elif name == "mkldnn_rnn_layer":  # one direction
            steps, batch, _ = args[0].shape
            self._add(0, steps * batch, *args[1].shape[::-1])
            self.products[Product(0, batch, *args[2].shape[::-1])] += steps
        return func(*args, **(kwargs or {}))

    def _add(self, *sizes: int) -> None:
        self.products[Product(*sizes)] += 1


def product_seconds(product: Product, clock: Callable[[], float]) -> float:
    """Return the time of one product by the fastest kernel at hand."""
    batch, rows, inner, outer = product
    if batch:
        left, right = torch.randn(batch, rows, inner), torch.randn(batch, inner, outer)
        kernels: list[Callable[[], object]] = [lambda: torch.bmm(left, right)]
    else:
        left, right = torch.randn(rows, inner), torch.randn(outer, inner)
        fused = torch.ops.mkldnn._linear_pointwise
        kernels = [
            lambda: F.linear(left, right),
            lambda: fused(left, right, None, "none", [], ""),
        ]
    return min(statistics.median(_timed(kernel, clock) for _ in range(TRIES)) for kernel in kernels)


def compare(
    name: str, ours: Call, plain: Call, mixture: Tensor, audio_seconds: float, options: Any
) -> str:
    """Return a row of the table for one network and one length of audio."""
    clock = CLOCKS[options.clock]
    times: dict[str, list[float]] = {"ours": [], "plain": [], "products": []}
    with torch.no_grad(), Recorder() as recorder:  # in inference mode it would see attention whole
        estimates = ours(mixture)
    with torch.inference_mode():
        begin = time.perf_counter()
        while True:
            start = clock()
            theirs = plain(mixture)
            times["plain"].append(clock() - start)
            times["ours"].append(_timed(lambda: ours(mixture), clock))
            times["products"].append(
                sum(n * product_seconds(p, clock) for p, n in recorder.products.items())
            )
            pairs, spent = len(times["ours"]), time.perf_counter() - begin
            if pairs >= options.repeats or spent * (pairs + 1) / pairs > options.budget:
                break
    difference = float((estimates - theirs).abs().max() / theirs.abs().max())
    slow, fast, products = (statistics.median(times[k]) for k in ("plain", "ours", "products"))
    flops = sum(n * product.flops for product, n in recorder.products.items())
    return (
        f"| {name} | {audio_seconds:g} s | {pairs} | {slow:.3f} s | {fast:.3f} s | "
        f"{slow / fast:.2f} | {products:.3f} s | {products / fast:.0%} | "
        f"{flops / fast / 1e9:.0f} of {flops / products / 1e9:.0f} | {difference:.0e} |"
    )


def parser(description: str | None, names: Iterable[str]) -> argparse.ArgumentParser:
    """Return the options that all programs with such a table have."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("names", nargs="*", default=list(names), metavar="NAME")
    options.add_argument("--seconds", type=float, nargs="+", default=[4, 30], help="of audio")
    options.add_argument("--repeats", type=int, default=5, help="pairs of runs, at most")
    options.add_argument(
        "--budget", type=float, default=30, help="seconds a row; one pair at least"
    )
    options.add_argument("--threads", type=int, default=2)
    options.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="processor time suffers less from other work",
    )
    options.add_argument(
        "--memory",
        choices=("kept", "returned"),
        default="kept",
        help="what the C library does with what either form frees; sepcli's commands keep it",
    )
    return options


def prepare(options: argparse.Namespace) -> None:
    """Set up the process as the options say, before there is a network."""
    torch.set_num_threads(options.threads)
    if options.memory == "kept":
        keep_freed_memory()


def _timed(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start
