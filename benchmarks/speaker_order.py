"""Measures how many seconds of speech end up in the wrong file, and what that costs.

    python benchmarks/speaker_order.py --speech ../shared/speech

Against a simulated separator, right inside each chunk, so that only the ordering counts, or, with
`--model`, against a real one, where right is what resembles the sources most. The methods:
`voices` is what `sepcli` does, `overlaps` the same without voice embeddings, `neighbour` greedy
correlation with the chunk before (the published practice, its chunks not moved), `none` no
ordering. Loss is against perfect ordering of the same chunks.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from simulated import Conversation, Recipe, make_conversation, recipes, simulate_separator

from sepcli.evaluation import metrics
from sepcli.models.registry import find_entry
from sepcli.separation.chunking import (
    EnergyEnvelope,
    overlap_add,
    plan_chunks,
    plan_seams,
)
from sepcli.separation.speakers import SpeakerTracker, fit_levels
from sepcli.separation.speakers.embedding import load_embed

Separate = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
METHODS = ("voices", "overlaps", "neighbour", "none")


@dataclass(frozen=True)
class Separated:
    """Chunk estimates of a conversation, levelled, whose each is, and which outputs were turned."""

    chunks: tuple
    estimates: list
    whose: np.ndarray
    turned: np.ndarray
    energy: object
    overlap: int


@dataclass(frozen=True)
class Score:
    """How an ordering did.

    Attributes:
        speech_seconds: Speech of all speakers.
        wrong_seconds: What of it is in the wrong file.
        si_sdr: Over the whole recording, mean of the speakers [dB].
        loss: What perfect ordering would add to it [dB].
        uncertain: Chunks marked as uncertain.
        missed: Chunks that are wrong and have no mark near.
        cost: CPU time a chunk [s].
    """

    speech_seconds: float
    wrong_seconds: float
    si_sdr: float
    loss: float
    uncertain: int = 0
    missed: int = 0
    cost: float = 0.0


def simulated(recipe: Recipe, leakage_db: tuple[float, float]) -> Separate:
    """Return a separator that is right inside each chunk."""
    rng = np.random.default_rng([recipe.seed, 7])
    return lambda mixture, sources: simulate_separator(rng, sources, leakage_db)


def real(model: str) -> Separate:
    """Return a network; whose its estimates are is told from the sources they resemble most."""
    import torch

    from sepcli import Separator

    network = Separator.from_pretrained(model).pipeline.runner

    def separate(mixture: np.ndarray, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            estimates = network.run([mixture])[0]
        unit = estimates / np.maximum(np.linalg.norm(estimates, axis=1, keepdims=True), 1e-9)
        return estimates, linear_sum_assignment(unit @ sources.T, maximize=True)[1]

    return separate


def separate(
    conversation: Conversation,
    recipe: Recipe,
    times: tuple[float, float],
    separator: Separate,
    move: bool,
) -> Separated:
    """Return the estimates of all chunks."""
    chunk, overlap = (round(each * recipe.sample_rate) for each in times)
    envelope = EnergyEnvelope(recipe.sample_rate)
    mixture = conversation.mixture
    envelope.add(mixture)
    energy = envelope.values if move else None
    chunks = plan_chunks(len(mixture), chunk, overlap, energy)
    estimates, whose, turned = [], [], []
    for each in chunks:
        part = conversation.sources[:, each.start : each.stop]
        heard = mixture[each.start : each.stop]
        raw, truth = separator(heard, part)
        gains = fit_levels(heard, raw)
        estimates.append(gains[:, np.newaxis] * raw)
        whose.append(truth)
        turned.append(gains < 0.0)
    return Separated(chunks, estimates, np.array(whose), np.array(turned), energy, overlap)


def order_tracked(separated: Separated, mixture: np.ndarray, rate: int, embed: Callable | None):
    """Return the order of `sepcli`, and the time it took on all cores [s]."""
    began = time.process_time()
    tracker = SpeakerTracker(separated.whose.shape[1], rate, embed)
    for chunk, estimates in zip(separated.chunks, separated.estimates, strict=True):
        tracker.add(chunk, mixture[chunk.start : chunk.stop], estimates)
    return tracker.solve(), time.process_time() - began


def order_neighbours(separated: Separated) -> np.ndarray:
    """Return the orders that maximise correlation with the ordered chunk before."""
    states = np.array(list(permutations(range(separated.whose.shape[1]))))
    orders = [states[0]]
    for number in range(1, len(separated.chunks)):
        shared = separated.chunks[number - 1].stop - separated.chunks[number].start
        before = separated.estimates[number - 1][orders[-1]][:, -shared:] if shared else None
        if before is None:
            orders.append(states[0])
            continue
        products = before @ separated.estimates[number][:, :shared].T
        scores = products[np.arange(states.shape[1]), states].sum(axis=1)
        orders.append(states[np.argmax(scores)])
    return np.array(orders)


def si_sdr(estimate: np.ndarray, reference: np.ndarray) -> float:
    """Return the SI-SDR of signals `[samples]`, their means left in [dB]."""
    return float(metrics.si_sdr(estimate, reference, zero_mean=False))


def joined(separated: Separated, orders: np.ndarray) -> np.ndarray:
    """Return the files, `[speakers, samples]`."""

    def read(index: int) -> np.ndarray:
        return separated.estimates[index][orders[index]]

    blocks = overlap_add(separated.chunks, read, separated.overlap, separated.energy)
    return np.concatenate(list(blocks), axis=1)


def evaluate(
    separated: Separated, orders: np.ndarray, conversation: Conversation, recipe: Recipe, marks=()
) -> Score:
    """Return the score of an ordering under the best assignment of files to speakers."""
    num_speakers = len(conversation.sources)
    seams = plan_seams(separated.chunks, separated.overlap, separated.energy)
    frame = recipe.sample_rate // 50
    borders = [(seam.start + seam.stop) // 2 for seam in seams]
    centres = np.arange(conversation.active.shape[1]) * frame + frame // 2
    chunk_of = np.searchsorted(borders, centres)
    holds = np.take_along_axis(separated.whose, orders, axis=1)  # whose speech each file has
    best = None
    for assignment in permutations(range(num_speakers)):
        right = holds[:, list(assignment)] == np.arange(num_speakers)
        wrong = ~right[chunk_of].T & conversation.active
        if best is None or wrong.sum() < best[1].sum():
            best = assignment, wrong
    assignment, wrong = best
    files = joined(separated, orders)[list(assignment)]
    perfect = joined(separated, np.argsort(separated.whose, axis=1))
    scores = [
        np.mean([si_sdr(e, s) for e, s in zip(each, conversation.sources, strict=True)])
        for each in (files, perfect)
    ]
    bad = np.unique(chunk_of[wrong.any(axis=0)])
    missed = sum(all(abs(each - mark) > 1 for mark in marks) for each in bad)
    return Score(
        speech_seconds=conversation.active.sum() / 50,
        wrong_seconds=wrong.sum() / 50,
        si_sdr=float(scores[0]),
        loss=float(scores[1] - scores[0]),
        uncertain=len(marks),
        missed=missed,
    )


def run(recipe: Recipe, arguments: argparse.Namespace) -> dict[str, Score]:
    """Return the score of each method on one conversation."""
    conversation = make_conversation(recipe, arguments.speech, arguments.split)
    mixture = conversation.mixture
    times = (arguments.chunk, arguments.overlap)
    leakage = (arguments.leakage[0], arguments.leakage[1])

    def separator() -> Separate:
        return real(arguments.model) if arguments.model else simulated(recipe, leakage)

    moved = separate(conversation, recipe, times, separator(), move=True)
    fixed = separate(conversation, recipe, times, separator(), move=False)
    scores = {}
    for name, embed in (("voices", arguments.embed), ("overlaps", None)):
        order, seconds = order_tracked(moved, mixture, recipe.sample_rate, embed)
        starts = {mark.start for mark in order.uncertain}
        marks = [n for n, chunk in enumerate(moved.chunks) if chunk.start in starts]
        score = evaluate(moved, order.orders, conversation, recipe, marks)
        scores[name] = replace(score, cost=seconds / len(moved.chunks))
        if name == "voices" and arguments.verbose:
            print(
                f"{recipe.seed} {recipe.style} same_sex={recipe.same_sex} {recipe.seconds:.0f} s, "
                f"{len(moved.chunks)} chunks (fixed {len(fixed.chunks)}), "
                f"voices {order.num_voices}, "
                f"outputs upside down in {moved.turned.sum(axis=0).tolist()} chunks, "
                f"{1e3 * seconds / len(moved.chunks):.1f} ms a chunk, wrong "
                f"{scores[name].wrong_seconds:.1f} s, uncertain {len(marks)}, {conversation.names}",
                file=sys.stderr,
            )
    scores["neighbour"] = evaluate(fixed, order_neighbours(fixed), conversation, recipe)
    identity = np.tile(np.arange(recipe.num_speakers), (len(fixed.chunks), 1))
    scores["none"] = evaluate(fixed, identity, conversation, recipe)
    return scores


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, default=Path("../shared/speech"))
    parser.add_argument("--split", default="dev")
    parser.add_argument("--count", type=int, default=12, help="per number of speakers")
    parser.add_argument("--chunk", type=float, help="seconds; the model's, else 8")
    parser.add_argument("--overlap", type=float, help="seconds; the model's, else 1")
    parser.add_argument("--leakage", type=float, nargs=2, default=(-20.0, -10.0), help="dB")
    parser.add_argument("--sample-rate", type=int, default=8_000)
    parser.add_argument("--model", help="a network of sepcli instead of the simulation")
    parser.add_argument("--voices", default="builtin", help="builtin or ecapa")
    parser.add_argument("--speakers", type=int, nargs="+", default=(2, 3))
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    arguments.embed = load_embed(arguments.voices)
    entry = find_entry(arguments.model) if arguments.model else None
    arguments.chunk = arguments.chunk or (entry.chunk_seconds if entry else 8.0)
    arguments.overlap = arguments.overlap or (entry.overlap_seconds if entry else 1.0)
    print("| speakers | pauses | voices alike | conversations |", end="")
    print("".join(f" {name}: wrong, SI-SDR, loss |" for name in METHODS))
    print("|---" * (4 + len(METHODS)) + "|")
    everything: list[dict[str, Score]] = []
    for num_speakers in arguments.speakers:
        chosen = recipes(arguments.count, num_speakers, arguments.sample_rate)
        results = {recipe: run(recipe, arguments) for recipe in chosen}
        everything += results.values()
        for style in sorted({recipe.style for recipe in chosen}):
            for same in (True, False):
                rows = [r for k, r in results.items() if (k.style, k.same_sex) == (style, same)]
                if rows:
                    title = f"| {num_speakers} | {style} | {'same sex' if same else 'mixed'}"
                    print(title + _cells(rows), flush=True)
    print("| all | | " + _cells(everything))
    missed = sum(row["voices"].missed for row in everything)
    marks = sum(row["voices"].uncertain for row in everything)
    cost = np.mean([row["voices"].cost for row in everything])
    print(f"\nChunks marked as uncertain: {marks}; chunks wrong without a mark near: {missed}")
    print(f"Evidence and decision: {1e3 * cost:.1f} ms of CPU time a chunk")


def _cells(rows: list[dict[str, Score]]) -> str:
    text = f" | {len(rows)} |"
    for name in METHODS:
        scores = [row[name] for row in rows]
        wrong = sum(s.wrong_seconds for s in scores) / sum(s.speech_seconds for s in scores)
        si, loss = np.mean([s.si_sdr for s in scores]), np.mean([s.loss for s in scores])
        text += f" {100 * wrong:.2f} %, {si:.1f} dB, {loss:.2f} dB |"
    return text


if __name__ == "__main__":
    main()
