"""Quality against cost of chunk lengths and overlaps: where the defaults in models.toml come from.

    OMP_NUM_THREADS=1 python benchmarks/chunks.py measure --model stftformer-8k
    python benchmarks/chunks.py count

`measure` separates conversations with a model whose weights are here, speakers put in order as
`sepcli separate` does it, for every chunk length and overlap. `count` needs no weights: it counts
multiply-accumulates for a second of a long recording by chunk length, overlaps and padding in it,
for one model of each architecture and configuration of the table.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from simulated import Conversation, make_conversation, recipes

from sepcli import SeparationOptions, Separator
from sepcli.evaluation.complexity import count_macs
from sepcli.evaluation.metrics import best_order, pairwise_si_sdr, reorder, si_sdr_improvement
from sepcli.models.build import build_network
from sepcli.models.entry import ModelEntry
from sepcli.models.registry import load_entries


def improvement(estimates: np.ndarray, conversation: Conversation) -> float:
    """Return SI-SDRi over the whole recording, mean of the speakers, best order of files [dB]."""
    sources, mixture = conversation.sources, conversation.mixture
    order = best_order(pairwise_si_sdr(estimates, sources, zero_mean=False))
    gains = si_sdr_improvement(reorder(estimates, order), sources, mixture, zero_mean=False)
    return float(gains.mean())


def measure(arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the rows of the quality table; all settings on one conversation, then the next."""
    torch.set_num_threads(1)
    settings = [(c, o) for c in arguments.chunk for o in arguments.overlap if o <= c / 2]
    separators = {
        (chunk, overlap): Separator.from_pretrained(
            arguments.model,
            options=SeparationOptions(device="cpu", chunk_seconds=chunk, overlap_seconds=overlap),
        )
        for chunk, overlap in settings
    }
    entry = separators[settings[0]].entry
    gains: dict[tuple[float, float], list[float]] = {each: [] for each in settings}
    seconds = dict.fromkeys(settings, 0.0)
    for recipe in recipes(arguments.count, entry.speakers, entry.sample_rate):
        recipe = replace(recipe, seconds=min(recipe.seconds, arguments.longest))
        conversation = make_conversation(recipe, arguments.speech)
        for setting, separator in separators.items():
            began = time.process_time()
            done = separator.separate(conversation.mixture, entry.sample_rate)
            seconds[setting] += (time.process_time() - began) / recipe.seconds
            gains[setting].append(improvement(done.estimates, conversation))
    for chunk, overlap in settings:
        # a speaker may say nothing before the cut: there is no SI-SDR then
        mean, worst = np.nanmean(gains[chunk, overlap]), np.nanmin(gains[chunk, overlap])
        cost = 1e3 * seconds[chunk, overlap] / arguments.count
        yield f"| {chunk:g} | {overlap:g} | {mean:.2f} | {worst:.2f} | {cost:.1f} |"


def count(arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the rows of the cost table."""
    seen: set[tuple[str, str, int]] = set()
    for entry in load_entries().values():
        key = (entry.architecture, repr(sorted(entry.config.items())), entry.sample_rate)
        if key in seen or not entry.config:
            continue
        seen.add(key)
        cells = [
            f"{operations(entry, chunk, min(entry.overlap_seconds, chunk / 2)):.2f}"
            for chunk in arguments.chunk
        ]
        plan = f"{entry.chunk_seconds:g}, {entry.overlap_seconds:g}"
        yield " | ".join([f"| {entry.name}", plan, *cells]) + " |"


def operations(entry: ModelEntry, chunk: float, overlap: float) -> float:
    """Return multiply-accumulates for a second of a long recording [G]."""
    network, _ = build_network(entry.architecture, entry.config, where=entry.name)
    return count_macs(network, round(chunk * entry.sample_rate)) / (chunk - overlap) / 1e9


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("measure", "count"))
    parser.add_argument("--model", default="stftformer-8k")
    parser.add_argument("--speech", type=Path, default=Path("../shared/speech"))
    parser.add_argument("--chunk", type=float, nargs="+", default=[4, 6, 8, 12, 16, 24, 32])
    parser.add_argument("--overlap", type=float, nargs="+", default=[0.5, 1, 2, 4])
    parser.add_argument("--count", type=int, default=12, help="conversations")
    parser.add_argument("--longest", type=float, default=180.0, help="of a conversation [s]")
    arguments = parser.parse_args()
    if arguments.what == "measure":
        print("| chunk [s] | overlap [s] | SI-SDRi [dB] | worst [dB] | ms a second |")
        columns, rows = 5, measure(arguments)
    else:
        lengths = "".join(f" {chunk:g} s |" for chunk in arguments.chunk)
        print(f"| model | chunk, overlap [s] |{lengths}")
        columns, rows = 2 + len(arguments.chunk), count(arguments)
    print("|---" * columns + "|", flush=True)
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    main()
