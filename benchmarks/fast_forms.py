"""Time every fast form of `sepcli/networks/fast` against its plain one, by turns.

    OMP_NUM_THREADS=1 python benchmarks/fast_forms.py [--seconds 4 30] [--runs 5] [NAME ...]

Both forms run in one process that keeps freed memory, as sepcli's commands do, with random weights.
The ratio of the medians is what counts: a fast form that is not at least 1.1 times as fast at 4 to
30 s is to go. Processor time, since other work on the machine disturbs the time on the clock.
"""

import argparse
import importlib
import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn

from sepcli.memory import keep_freed_memory
from sepcli.models.architectures import make_config
from sepcli.models.registry import find_entry
from sepcli.networks import fast

SAMPLE_RATES = {
    "ensemble": 16000,
    "gc3": 16000,
    "s4m": 16000,
    "tdanet": 16000,
    "tiger": 16000,
}  # 8 kHz for all others [Hz]
CHOICES: dict[str, dict[str, dict[str, Any]]] = {
    "gc3": {"": {}, "-tcn": {"inner": "tcn"}, "-transformer": {"inner": "transformer"}}
}
BUILT_IN = {"ensemble": "ensemble-16k", "stftformer": "stftformer-8k"}  # their sizes are known


def timed(network: nn.Module, mixture: Tensor) -> float:
    """Return the processor time of one run [s]."""
    start = time.process_time()
    network(mixture)
    return time.process_time() - start


@torch.inference_mode()
def row(architecture: str, name: str, choice: dict[str, Any], seconds: float, runs: int) -> str:
    """Return a row of the table."""
    module = importlib.import_module(f"sepcli.networks.{architecture}")
    torch.manual_seed(0)
    if model := BUILT_IN.get(architecture):
        config = make_config(architecture, dict(find_entry(model).config), where=model)
    else:
        config = module.Config(**choice)
    plain = module.Network(config).eval()
    forms = (plain, fast.optimize(plain))
    mixture = 0.1 * torch.randn(1, round(seconds * SAMPLE_RATES.get(architecture, 8000)))
    expected, found = (form(mixture) for form in forms)
    differ = float((expected - found).abs().max() / expected.abs().max())
    times = [[timed(form, mixture) for form in forms] for _ in range(runs)]
    slow, quick = (statistics.median(column) for column in zip(*times, strict=True))
    return (
        f"| {name} | {seconds:g} s | {slow:.3f} s | {quick:.3f} s | {slow / quick:.2f} "
        f"| {differ:.0e} |"
    )


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=fast.architectures(), metavar="NAME")
    parser.add_argument("--seconds", type=float, nargs="+", default=[4, 30], help="of audio")
    parser.add_argument("--runs", type=int, default=5, help="of each form")
    options = parser.parse_args()
    keep_freed_memory()
    print("| network | audio | plain | fast | ratio | differ |\n|---|---|---|---|---|---|")
    for seconds in options.seconds:
        for name in options.names:
            for suffix, choice in CHOICES.get(name, {"": {}}).items():
                print(row(name, name + suffix, choice, seconds, options.runs), flush=True)


if __name__ == "__main__":
    main()
