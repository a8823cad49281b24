"""Mixtures of two voices from a folder, and what a separator gains on them."""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from sepcli import SeparationOptions, Separator
from sepcli.audio import AudioReader, mono_blocks, resample_blocks
from sepcli.evaluation.metrics import best_order, pairwise_si_sdr, reorder, si_sdr_improvement
from sepcli.models.registry import DEFAULT_MODEL

SECONDS, LEVEL = 6.0, 0.07  # of a mixture: length, and root of its mean power
NEVER = float("inf")  # a threshold that nothing goes beyond
ESTIMATES = SeparationOptions(outside_overlap="separated", bandwidth="model")  # and nothing else


def from_command_line(
    about: str, count: int, options: SeparationOptions = ESTIMATES
) -> tuple[Separator, list[np.ndarray]]:
    """Return the separator and the references of the mixtures that the command line names.

    Args:
        about: Docstring of the program.
        count: Mixtures, unless the command line says how many.
        options: How the separator runs.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    arguments = parser.parse_args()
    separator = Separator.from_pretrained(arguments.model, options=options)
    rate = separator.entry.sample_rate
    return separator, mixtures(arguments.folder, arguments.count, rate)


def mixtures(folder: Path, count: int, rate: int) -> list[np.ndarray]:
    """Return references `[2, samples]` of different speakers, at most 2.5 dB apart."""
    speakers = defaultdict(list)
    for path in sorted(folder.rglob("*.flac")) + sorted(folder.rglob("*.wav")):
        speakers[path.parent].append(path)
    names, chance = sorted(speakers), np.random.default_rng(1)
    found: list[np.ndarray] = []
    while len(found) < count:
        pair = [speakers[names[i]] for i in chance.choice(len(names), 2, replace=False)]
        voices = [_read(paths[chance.integers(len(paths))], rate) for paths in pair]
        length = min(*map(len, voices), round(SECONDS * rate))
        if length < SECONDS / 2 * rate:
            continue
        both = np.stack([voice[:length] / voice[:length].std() for voice in voices])
        both[1] *= 10 ** (chance.uniform(-2.5, 2.5) / 20)
        found.append((both * LEVEL / both.sum(axis=0).std()).astype(np.float32))
    return found


def _read(path: Path, rate: int) -> np.ndarray:
    with AudioReader(path) as reader:
        blocks = resample_blocks(mono_blocks(reader), reader.info.sample_rate, rate)
        return np.concatenate(list(blocks))


def improvement(
    separator: Separator,
    mixture: np.ndarray,
    references: np.ndarray,
    places: np.ndarray | slice = slice(None),
) -> float:
    """Return the mean SI-SDRi [dB], over what the sum of the references has.

    Args:
        separator: Whose estimates are judged.
        mixture: What it hears, `[samples]`.
        references: `[2, samples]`.
        places: Where in the mixture the samples of the references are.
    """
    estimates = separator.separate(mixture, separator.entry.sample_rate).estimates[:, places]
    ordered = reorder(estimates, best_order(pairwise_si_sdr(estimates, references)))
    return float(si_sdr_improvement(ordered, references, references.sum(axis=0)).mean())
