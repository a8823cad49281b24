"""A network and its plain structure by turns, beside the matrix products that it is made of.

Each form runs in a process of its own. sepcli's commands keep the memory that a network frees, see
sepcli/memory.py, and so does its process here; the plain form has what any program has that does
not ask for more. `--memory kept` lets both keep it, `--memory returned` neither.

Between the runs each matrix product of one forward pass is timed alone, by the fastest kernel at
hand; what these take together over what the network takes is its share of the machine's
matrix-product rate, on its own shapes. The rest is what is left to win.

speed_heavy.py, speed_recurrent.py and speed_light.py say what the plain structure of each network
is.
"""

import argparse
import importlib
import multiprocessing
import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from sepcli.memory import keep_freed_memory
from sepcli.networks import sepformer
from sepcli.networks.layers import prepare
from sepcli.networks.layers.linear import pack

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
TRIES = 3  # of one matrix product, between two runs of the networks

HEADER = """\
| network | audio | pairs of runs | plain | sepcli | ratio | products | share | GFLOP/s | differ |
|---|---|---|---|---|---|---|---|---|---|"""


SEPFORMER_HEADER = """\
| network | audio | sepcli | our SepFormer | share of its time |
|---|---|---|---|---|"""


class Case(NamedTuple):
    """A network to compare.

    Attributes:
        build: Makes it, with random weights.
        plain: Makes its plain form, `[batch, time]` to estimates, from it and its weights.
        sample_rate: Of its mixtures [Hz].
    """

    build: Callable[[], Any]
    plain: Callable[[Any], Callable[[Tensor], Tensor]]
    sample_rate: int


class Product(NamedTuple):
    """`batch` products of `[rows, inner]` and `[inner, outer]`; batch 0 is one linear map.

    Attributes:
        packed: Whether the weights of the linear map are laid out for the kernel beforehand.
    """

    batch: int
    rows: int
    inner: int
    outer: int
    packed: bool = False

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
            left, right = args[:2]
            rows = left.numel() // left.shape[-1]
            self.products[Product(0, rows, *right.shape[::-1], right.is_mkldnn)] += 1
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
    batch, rows, inner, outer, packed = product
    if batch:
        left, right = torch.randn(batch, rows, inner), torch.randn(batch, inner, outer)
        kernels: list[Callable[[], object]] = [lambda: torch.bmm(left, right)]
    else:
        left, right = torch.randn(rows, inner), torch.randn(outer, inner)
        weight = pack(right) if packed else right
        kernels = [
            lambda: F.linear(left, right),
            lambda: torch.ops.mkldnn._linear_pointwise(left, weight, None, "none", [], ""),
        ]
    return min(statistics.median(_timed(kernel, clock) for _ in range(TRIES)) for kernel in kernels)


class Runner:
    """One form of a network in a process of its own, which does what it is asked."""

    def __init__(
        self, module: str, name: str, form: str, seconds: float, options: argparse.Namespace
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        arguments = (other, module, name, form, seconds, options)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        other.close()

    def ask(self, what: str) -> Any:
        """Return the answer to `estimates`, `run` [s], `products` [s, operations] or `profile`."""
        self._connection.send(what)
        return self._connection.recv()

    def stop(self) -> None:
        """End the process."""
        self._connection.send("stop")
        self._process.join()


def _serve(
    connection: Connection,
    module: str,
    name: str,
    form: str,
    seconds: float,
    options: argparse.Namespace,
) -> None:
    """Answer what `Runner.ask` asks."""
    if options.memory == "kept" or (options.memory == "own" and form != "plain"):
        keep_freed_memory()
    torch.set_num_threads(options.threads)
    case: Case = importlib.import_module(module).CASES[name]
    torch.manual_seed(0)
    network: Any = case.build().eval()
    mixture = 0.1 * torch.randn(1, round(seconds * case.sample_rate))
    if form == "sepformer":
        network = sepformer.Network(sepformer.Config()).eval()
    if form == "plain":
        network = case.plain(network)
    else:
        prepare(network)
    call = partial(network, mixture)
    clock = CLOCKS[options.clock]
    recorder = Recorder()
    while (asked := connection.recv()) != "stop":
        if asked == "estimates":
            with torch.no_grad(), recorder:  # inference mode would hide what attention multiplies
                connection.send(call().numpy())
        elif asked == "profile":
            connection.send(_profile(call))
        else:
            with torch.inference_mode():
                timed = _timed(call, clock) if asked == "run" else _products(recorder, options)
            connection.send(timed)


def _products(recorder: Recorder, options: argparse.Namespace) -> tuple[float, int]:
    """Return the time [s] and the operations of all products of a forward pass."""
    seconds, flops, clock = 0.0, 0, CLOCKS[options.clock]
    for product, count in recorder.products.items():
        timed = product if options.packed else product._replace(packed=False)
        seconds += count * product_seconds(timed, clock)
        flops += count * product.flops
    return seconds, flops


class Stopwatch(TorchDispatchMode):
    """Adds up the time of each operator; torch's profiler takes the memory that they would."""

    def __init__(self) -> None:
        super().__init__()
        self.spent: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        """Run an operator and note its time."""
        start = time.perf_counter()
        result = func(*args, **(kwargs or {}))
        self.spent[func.overloadpacket.__name__] += time.perf_counter() - start
        return result


def _profile(call: Callable[[], object], top: int = 12) -> str:
    """Return the operators that most of the time goes into, a line each."""
    with torch.no_grad(), Stopwatch() as stopwatch:  # inference mode would hide the parts
        call()
    spent, most = stopwatch.spent, stopwatch.spent.most_common(top)
    return "\n".join(
        f"    {100 * time / sum(spent.values()):5.1f} %  {name}" for name, time in most
    )


def _timed(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start


def compare(module: str, name: str, seconds: float, options: argparse.Namespace) -> str:
    """Return a row of the table for one network and one length of audio."""
    forms = ("ours",) if options.alone else ("ours", "plain")
    runners = {form: Runner(module, name, form, seconds, options) for form in forms}
    ours = runners["ours"]
    estimates = {form: runner.ask("estimates") for form, runner in runners.items()}
    times: dict[str, list[float]] = {form: [] for form in (*forms, "products")}
    begin = time.perf_counter()
    while True:
        for form in reversed(forms):
            times[form].append(runners[form].ask("run"))
        product_time, flops = ours.ask("products")
        times["products"].append(product_time)
        pairs, spent = len(times["ours"]), time.perf_counter() - begin
        if pairs >= options.repeats or spent * (pairs + 1) / pairs > options.budget:
            break
    profile = "\n" + ours.ask("profile") if options.profile else ""
    for runner in runners.values():
        runner.stop()
    fast, products = (statistics.median(times[key]) for key in ("ours", "products"))
    slow = ratio = difference = "-"
    if not options.alone:
        plain, theirs = statistics.median(times["plain"]), estimates["plain"]
        slow, ratio = f"{plain:.3f} s", f"{plain / fast:.2f}"
        difference = f"{abs(estimates['ours'] - theirs).max() / abs(theirs).max():.0e}"
    return (
        f"| {name} | {seconds:g} s | {pairs} | {slow} | {fast:.3f} s | {ratio} | "
        f"{products:.3f} s | {products / fast:.0%} | "
        f"{flops / fast / 1e9:.0f} of {flops / products / 1e9:.0f} | {difference} |{profile}"
    )


def compare_to_sepformer(
    module: str, name: str, seconds: float, options: argparse.Namespace
) -> str:
    """Return what share of our own SepFormer's time a network takes for as many samples."""
    runners = [Runner(module, name, form, seconds, options) for form in ("ours", "sepformer")]
    for runner in runners:
        runner.ask("run")
    times = [[runner.ask("run") for runner in runners] for _ in range(options.repeats)]
    ours, sepformers = (statistics.median(column) for column in zip(*times, strict=True))
    for runner in runners:
        runner.stop()
    return (
        f"| {name} | {seconds:g} s | {ours:.3f} s | {sepformers:.3f} s | {ours / sepformers:.1%} |"
    )


def main(module: str, cases: dict[str, Case], description: str | None) -> None:
    """Read the command line of the program in the file `module` and print its table."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=list(cases), metavar="NAME")
    parser.add_argument("--seconds", type=float, nargs="+", default=[4, 30], help="of audio")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of runs, at most")
    parser.add_argument("--budget", type=float, default=30, help="seconds a row; at least one pair")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="other work disturbs wall")
    parser.add_argument("--memory", choices=("own", "kept", "returned"), default="own")
    parser.add_argument("--alone", action="store_true", help="leave the plain form out")
    parser.add_argument(
        "--packed", action="store_true", help="products of weights laid out where the network's are"
    )
    parser.add_argument("--profile", action="store_true", help="print what our time goes into")
    parser.add_argument("--against-sepformer", action="store_true", help="instead of plain forms")
    options = parser.parse_args()
    print(SEPFORMER_HEADER if options.against_sepformer else HEADER, flush=True)
    row = compare_to_sepformer if options.against_sepformer else compare
    for seconds in options.seconds:
        for name in options.names:
            print(row(Path(module).stem, name, seconds, options), flush=True)
