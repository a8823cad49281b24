"""Measures how well a voice embedding of `separation/speakers` tells people apart.

    python benchmarks/measure_voices.py --speech ../shared/speech
    python benchmarks/measure_voices.py --voices ecapa

Pieces of development speakers, as they are, with another voice leaking in, and as the built-in
separator gives them back from a mixture of two. Prints equal error rates over all pairs of pieces
that are not of one stretch of speech.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import soundfile
import soxr

from sepcli import Separator
from sepcli.separation.speakers.embedding import load_embed

SAMPLE_RATE = 16_000
STRETCH_SECONDS, STRETCHES_A_SPEAKER = 6.0, 5
LEAKAGE_DB = -10.0
LEVEL = 0.05


def read_speakers(speech: Path, split: str) -> dict[str, list[dict[str, str]]]:
    """Return the labelled utterances of a split by speaker."""
    with (speech / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    speakers: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if row["speaker"] != "unlabelled":
            speakers.setdefault(f"{row['corpus']}/{row['speaker']}", []).append(row)
    return speakers


def read_speech(speech: Path, row: dict[str, str]) -> np.ndarray:
    """Return an utterance at 16 kHz, `[samples]`."""
    samples, rate = soundfile.read(speech / row["path"], dtype="float32")
    assert rate == SAMPLE_RATE
    return samples


def estimates(separator: Separator, voices: np.ndarray) -> np.ndarray:
    """Return what a separator makes of a mixture of voices, in their order; `[2, samples]`."""
    found = separator.separate(voices.sum(axis=0), SAMPLE_RATE).estimates
    match = np.abs(found @ voices.T) / np.maximum(np.linalg.norm(found, axis=1), 1e-9)[:, None]
    is_swapped = match[0, 0] + match[1, 1] < match[0, 1] + match[1, 0]
    return found[::-1] if is_swapped else found


def levelled(samples: np.ndarray) -> np.ndarray:
    """Return waveforms of one level, `[..., samples]`."""
    power = np.square(samples).mean(axis=-1, keepdims=True)
    return np.asarray(LEVEL * samples / np.sqrt(np.maximum(power, 1e-12)), np.float32)


def stretches(
    speech: Path, separator: Separator, left_out: str
) -> tuple[list[str], list[str], dict]:
    """Return speakers, their sex, and waveforms by what became of them, one a stretch.

    Args:
        speech: Folder with a manifest.
        separator: Of mixtures of two.
        left_out: Corpus whose speakers are not heard.
    """
    speakers = {
        name: rows
        for name, rows in read_speakers(speech, "dev").items()
        if name.split("/")[0] != left_out
    }
    whole = {
        name: np.concatenate([read_speech(speech, row) for row in rows])
        for name, rows in sorted(speakers.items())
    }
    random, length = np.random.default_rng(3), round(STRETCH_SECONDS * SAMPLE_RATE)
    names: list[str] = []
    kinds: dict[str, list[np.ndarray]] = {"none": [], "leakage": [], "separated": []}
    for name, signal in whole.items():
        most = min(len(signal) - length, STRETCHES_A_SPEAKER * length)
        for start in range(0, most, length):
            other = whole[str(random.choice([each for each in whole if each != name]))]
            place = int(random.integers(max(1, len(other) - length)))
            two = levelled(
                np.stack([signal[start:][:length], np.resize(other[place:][:length], length)])
            )
            names.append(name)
            kinds["none"].append(two[0])
            kinds["leakage"].append(two[0] + 10.0 ** (LEAKAGE_DB / 20.0) * two[1])
            kinds["separated"].append(estimates(separator, two)[0])
    return names, [speakers[name][0]["gender"] for name in names], kinds


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """Return the share of errors at the threshold where both kinds of error are equal."""
    thresholds = np.sort(np.concatenate([same, different]))
    missed = np.searchsorted(np.sort(same), thresholds) / len(same)
    taken = 1.0 - np.searchsorted(np.sort(different), thresholds) / len(different)
    return float(((missed + taken) / 2)[np.argmin(np.abs(missed - taken))])


def error_rates(voices: np.ndarray, whose: np.ndarray, sexes: np.ndarray, stretch: np.ndarray):
    """Return the equal error rates of all pairs of pieces, and of those of one sex.

    Args:
        voices: Embeddings, `[pieces, dims]`; the rest is `[pieces]`.
        whose: Speakers.
        sexes: Theirs.
        stretch: Which stretch of speech each is from: pieces of one are no pair.
    """
    cosine = voices @ voices.T
    pair = np.triu(np.not_equal.outer(stretch, stretch))
    same, alike = np.equal.outer(whose, whose), np.equal.outer(sexes, sexes)
    return [
        equal_error_rate(cosine[pair & same], cosine[pair & ~same & among])
        for among in (np.ones_like(same), alike)
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, default=Path("../shared/speech"))
    parser.add_argument("--voices", default="builtin", help="builtin or ecapa")
    parser.add_argument("--leave-out", default="", help="a corpus")
    arguments = parser.parse_args()
    separator = Separator.from_pretrained()
    names, sexes, kinds = stretches(arguments.speech, separator, arguments.leave_out)
    embed = load_embed(arguments.voices)
    print("| piece | what is heard | rate | all pairs | same sex |\n|---|---|---|---|---|")
    for seconds in (1.5, 3.0):
        for kind, rate in (*((kind, SAMPLE_RATE) for kind in kinds), ("none", 8_000)):
            pieces = []  # voice, stretch
            for number, waveform in enumerate(kinds[kind]):
                heard = soxr.resample(waveform, SAMPLE_RATE, rate).astype(np.float32)
                length = round(seconds * rate)
                for start in range(0, len(heard) - length + 1, length):
                    pieces.append((embed(heard[start : start + length], rate), number))
            voices, numbers = np.stack([voice for voice, _ in pieces]), [n for _, n in pieces]
            rates = error_rates(
                voices, np.array(names)[numbers], np.array(sexes)[numbers], np.array(numbers)
            )
            cells = " | ".join(f"{100 * each:.1f} %" for each in rates)
            print(f"| {seconds:g} s | {kind} | {rate // 1000} kHz | {cells} |", flush=True)


if __name__ == "__main__":
    main()
