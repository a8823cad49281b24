"""Measures what `remove_leakage` takes out of silent files, and what it costs where both speak.

    python benchmarks/leakage.py --speech ../shared/speech

Two speakers; each estimate is its source plus the other one, at a random level, filtered as given,
and noise 60 dB below full scale; or, with `--model`, what a network gives. Then levels are fitted.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from scipy.signal import fftconvolve
from simulated import Conversation, make_conversation, recipes
from speaker_order import Separate, real, si_sdr

from sepcli.separation.chunking import plan_chunks
from sepcli.separation.speakers import fit_levels, remove_leakage

LEVELS_DB = ((-20.0, -10.0), (-30.0, -20.0), (-60.0, -60.0))
FILTERS = {"copy": 0.0, "filtered": 2.0, "strongly filtered": 6.0}  # decay in samples
CHUNK_SECONDS, OVERLAP_SECONDS = 8.0, 1.0


def leaking(
    _: np.ndarray,
    sources: np.ndarray,
    *,
    rng: np.random.Generator,
    level_db: tuple[float, float],
    decay: float,
) -> np.ndarray:
    """Return estimates that leak into each other, `[speakers, samples]`, whatever the mixture."""
    estimates = []
    for source, other in zip(sources, sources[::-1], strict=True):
        response = np.eye(1, 32)[0]
        if decay > 0.0:
            response = rng.standard_normal(32) * np.exp(-np.arange(32) / decay)
            response /= np.linalg.norm(response)
        leak = fftconvolve(other, response)[: len(source)]
        noise = 1e-3 * rng.standard_normal(len(source))
        estimates.append(source + 10.0 ** (rng.uniform(*level_db) / 20.0) * leak + noise)
    return np.array(estimates, np.float32)


def measure(
    estimates: np.ndarray, sources: np.ndarray, active: np.ndarray
) -> list[tuple[float, float, float]]:
    """Return, per silent speaker: level [dB], SI-SDR where both speak, and of all [dB]."""
    rows = []
    both = active.all(axis=0)
    for quiet, loud in ((0, 1), (1, 0)):
        alone = active[loud] & ~active[quiet]
        if alone.mean() < 0.1 or both.mean() < 0.1:
            continue
        leak = np.square(estimates[quiet][alone]).mean() / np.square(sources[loud][alone]).mean()
        rows.append(
            (
                10.0 * np.log10(leak + 1e-9),
                si_sdr(estimates[quiet][both], sources[quiet][both]),
                si_sdr(estimates[quiet], sources[quiet]),
            )
        )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, default=Path("../shared/speech"))
    parser.add_argument("--count", type=int, default=6, help="conversations")
    parser.add_argument("--sample-rate", type=int, default=8_000)
    parser.add_argument("--model", help="a network of sepcli instead of the simulation")
    arguments = parser.parse_args()
    print("| leakage | level | silent file: kept, removed | both speak: kept, removed", end=" ")
    print("| whole chunk: kept, removed |\n" + "|---" * 5 + "|")
    rate = arguments.sample_rate
    conversations = [
        make_conversation(r, arguments.speech) for r in recipes(arguments.count, 2, rate)
    ]
    if arguments.model:
        network = real(arguments.model)
        row = _row(conversations, rate, partial(_in_place, network))
        print(f"| {arguments.model} | as it is |{row}")
        return
    for kind, decay in FILTERS.items():
        for level_db in LEVELS_DB:
            rng = np.random.default_rng(0)
            separate = partial(leaking, rng=rng, level_db=level_db, decay=decay)
            row = _row(conversations, rate, separate)
            print(f"| {kind} | {level_db[0]:g} to {level_db[1]:g} dB |{row}", flush=True)


def _in_place(network: Separate, mixture: np.ndarray, sources: np.ndarray) -> np.ndarray:
    estimates, whose = network(mixture, sources)
    return estimates[np.argsort(whose)]


def _row(
    conversations: list[Conversation],
    rate: int,
    separate: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> str:
    """Return the cells of one row: medians over chunks and speakers."""
    rows: list[tuple] = []
    for conversation in conversations:
        active = np.repeat(conversation.active, rate // 50, axis=1)
        plan = (round(s * rate) for s in (CHUNK_SECONDS, OVERLAP_SECONDS))
        for chunk in plan_chunks(active.shape[1], *plan):
            part = slice(chunk.start, chunk.stop)
            sources = conversation.sources[:, part]
            mixture = sources.sum(axis=0)
            raw = separate(mixture, sources)
            kept = fit_levels(mixture, raw)[:, np.newaxis] * raw
            removed = remove_leakage(kept, rate)
            pair = [measure(e, sources, active[:, part]) for e in (kept, removed)]
            rows += zip(*pair, strict=True)
    kept, removed = np.median(np.array(rows), axis=0)
    return "".join(f" {a:.1f}, {b:.1f} dB |" for a, b in zip(kept, removed, strict=True))


if __name__ == "__main__":
    main()
