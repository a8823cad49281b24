"""Measures what becomes of conversations: who speaks when, in which file, and how clean.

    python benchmarks/conversations.py --speakers 2 3 4 5 -- --speakers auto

Makes conversations with `sepcli mix` (dev speakers, seeded, 10 to 30 % overlap, pauses up to 8 s),
runs `sepcli separate --json` on them with the options after `--`, and prints a table:

    DER         diarization error rate, no collar, overlaps scored
    wrong file  share of speech that is stronger in a file other than its speaker's
    mixed       files in which others have more than a tenth of the speech
    people      recordings with as many files as people
    SI-SDRi     over the whole recording, mean of all people; of one without a file it is 0
    silent      level in the files of those who are silent while one speaks, to the recording
    time        of separating, to the length of the recordings

With `--perfect-turns -- --outside-overlap separated --bandwidth model` it is known who speaks when,
and which output holds whom: what is wrong then is the network's part.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from scipy.optimize import linear_sum_assignment

from sepcli.evaluation.diarization import diarization_error
from sepcli.evaluation.metrics import si_sdr
from sepcli.separation.speakers.turns import Turn

OVERLAPS = (0.1, 0.2, 0.3)
PIECE_SECONDS = 0.25  # in which it is told whose speech a file holds
BORDER_SECONDS = 0.1  # around turns, where silence is not asked for yet
PRESENT = 0.3  # of a reference in a file: less is leakage
IMPURE = 0.1
FAINTEST_DB = -100.0


@dataclass(frozen=True)
class Score:
    """What became of one conversation; see the module."""

    error_seconds: float
    speech_seconds: float
    wrong_seconds: float
    num_files: int
    num_mixed: int
    num_people: int
    si_sdri: float
    silent_db: float
    seconds: float


def presence(files: np.ndarray, references: np.ndarray, piece: int) -> np.ndarray:
    """Return how much of each reference each file holds, `[files, people, pieces]`; 1 is all."""
    whole = references.shape[1] // piece * piece
    cut_files = files[:, :whole].reshape(len(files), -1, piece)
    cut = references[:, :whole].reshape(len(references), -1, piece)
    energy = np.einsum("spn,spn->sp", cut, cut)
    products = np.einsum("kpn,spn->ksp", cut_files, cut)
    return np.asarray(products / np.maximum(energy, 1e-9))


def score(files: np.ndarray, found: list[Turn], references: np.ndarray, truth: list[Turn],
          mixture: np.ndarray, rate: int) -> Score:  # fmt: skip
    """Return the score of one conversation; waveforms are `[..., samples]`."""
    piece = round(PIECE_SECONDS * rate)
    held = presence(files, references, piece)
    active = _active(truth, len(references), held.shape[2], piece / rate)
    clear = np.where(active, np.maximum(held, 0.0), 0.0)
    rows, columns = linear_sum_assignment(clear.sum(axis=2), maximize=True)
    own = np.zeros(active.shape)
    own[columns] = clear[rows, columns]
    others = clear.copy()
    others[rows, columns] = 0.0
    wrong = active & (others.max(axis=0) > np.maximum(own, PRESENT))
    spoken = (clear > PRESENT).sum(axis=2)
    mixed = spoken.max(axis=1) < (1 - IMPURE) * spoken.sum(axis=1)
    gains = np.zeros(len(references))
    for row, column in zip(rows, columns, strict=True):
        before = float(si_sdr(mixture, references[column]))
        after = float(si_sdr(files[row], references[column]))
        gains[column] = after - before if np.isfinite(after) else 0.0
    error = diarization_error(found, truth)
    return Score(
        error_seconds=error.rate * error.speech_seconds,
        speech_seconds=error.speech_seconds,
        wrong_seconds=float(wrong.sum()) * PIECE_SECONDS,
        num_files=len(files),
        num_mixed=int(mixed.sum()),
        num_people=len(references),
        si_sdri=float(gains.mean()),
        silent_db=_silent_level(files, dict(zip(columns, rows, strict=True)), truth, mixture, rate),
        seconds=len(mixture) / rate,
    )


def with_perfect_turns(
    estimates: np.ndarray, references: np.ndarray, truth: list[Turn], mixture: np.ndarray, rate: int
) -> np.ndarray:
    """Return the files that true turns give, `[people, samples]`.

    Where one speaks alone, that is the recording, where several do, whichever order of estimates
    has the largest inner product with the references; waveforms are `[..., samples]`.
    """
    speaks = np.zeros(references.shape, bool)
    for turn in truth:
        speaks[turn.speaker, round(turn.start_seconds * rate) : round(turn.stop_seconds * rate)] = 1
    edges = np.flatnonzero(np.any(np.diff(speaks, axis=1), axis=0)) + 1
    files = np.zeros_like(references)
    for start, stop in pairwise([0, *edges.tolist(), len(mixture)]):
        people = np.flatnonzero(speaks[:, start])
        if len(people) == 1:
            files[people, start:stop] = mixture[start:stop]
        elif len(people):
            products = references[people, start:stop] @ estimates[:, start:stop].T
            rows, columns = linear_sum_assignment(products, maximize=True)
            files[people[rows], start:stop] = estimates[columns, start:stop]
    return files


def _active(turns: list[Turn], num_people: int, num_pieces: int, piece_seconds: float):
    """Return in which pieces each person speaks from begin to end, `[people, pieces]`."""
    active = np.zeros((num_people, num_pieces), bool)
    for turn in turns:
        first = int(np.ceil(turn.start_seconds / piece_seconds))
        active[turn.speaker, first : int(turn.stop_seconds / piece_seconds)] = True
    return active


def _silent_level(files, file_of: dict, truth: list[Turn], mixture: np.ndarray, rate: int) -> float:
    """Return the power in the files of the silent to that of the recording [dB]."""
    num_people = 1 + max(turn.speaker for turn in truth)
    near, inside = (np.zeros((num_people, len(mixture)), bool) for _ in range(2))
    for turn in truth:
        for mask, border in ((near, BORDER_SECONDS), (inside, -BORDER_SECONDS)):
            first = max(0, round((turn.start_seconds - border) * rate))
            mask[turn.speaker, first : max(0, round((turn.stop_seconds + border) * rate))] = True
    heard, total = 0.0, 0.0
    for person in range(num_people):
        alone = inside[person] & (near.sum(axis=0) == 1)
        silent = [k for k in range(len(files)) if k != file_of.get(person)]
        heard += float(np.square(files[silent][:, alone]).sum())
        total += float(np.square(mixture[alone]).sum())
    return max(FAINTEST_DB, float(10 * np.log10(max(heard, 1e-30) / max(total, 1e-30))))


def read_truth(path: Path) -> dict[str, list[Turn]]:
    """Return the turns of every conversation of a set."""
    turns: dict[str, list[Turn]] = {}
    for line in path.read_text().splitlines():
        _, name, _, start, length, _, _, speaker, *_ = line.split()
        turn = Turn(float(start), float(start) + float(length), int(speaker[1:]) - 1)
        turns.setdefault(name, []).append(turn)
    return turns


def make_sets(arguments: argparse.Namespace, num_people: int) -> list[Path]:
    """Return the folders of conversations of that many people, made where they are not there."""
    folders = []
    for overlap in OVERLAPS:
        name = f"{num_people}-{overlap}-{arguments.seconds:g}-{arguments.count}-{arguments.seed}"
        kinds = [kind for kind in ("noise", "rooms") if getattr(arguments, kind)]
        folder = arguments.work / "-".join([name, *kinds])
        folders.append(folder)
        if (folder / "manifest.csv").exists():
            continue
        places = {"noise": "noise", "rooms": "rir"}
        robust = [f"--{kind}={arguments.speech / 'robust' / places[kind]}" for kind in kinds]
        command = ["mix", arguments.speech / "manifest.csv", "--split", arguments.split, "-q"]
        command += ["-o", folder, "-n", arguments.count, "--speakers", num_people, "--style"]
        command += ["conversation", "--seed", arguments.seed, "--sample-rate", 16000]
        command += ["--overlap-ratio", overlap, "--pause-seconds", 8, "--overwrite", *robust]
        command += ["--max-seconds", arguments.seconds]
        run_sepcli(command)
    return folders


def run_sepcli(command: list) -> str:
    """Return what `sepcli` prints."""
    words = [sys.executable, "-m", "sepcli", *map(str, command)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def measure(folder: Path, options: list[str], *, perfect_turns: bool) -> tuple[list[Score], float]:
    """Return the scores of the conversations of a set, and the time of separating them [s]."""
    mixtures = folder / ("mix_both" if (folder / "mix_both").exists() else "mix_clean")
    separated = folder / "separated"
    shutil.rmtree(separated, ignore_errors=True)  # files of a run that found more people
    began = time.monotonic()
    output = run_sepcli(["separate", mixtures, "-o", separated, "--json", "-q", *options])
    elapsed = time.monotonic() - began
    truth = read_truth(folder / "turns.rttm")
    scores = []
    for record in map(json.loads, output.splitlines()):
        name = Path(record["input"]).name
        mixture, rate = soundfile.read(mixtures / name, dtype="float32")
        people = len({turn.speaker for turn in truth[Path(name).stem]})
        references = [soundfile.read(folder / f"s{k + 1}" / name)[0] for k in range(people)]
        files = np.array([soundfile.read(path, dtype="float32")[0] for path in record["outputs"]])
        places = {speaker["name"]: k for k, speaker in enumerate(record["speakers"])}
        turns = [
            Turn(turn["start_seconds"], turn["end_seconds"], places[turn["speaker"]])
            for turn in record["turns"]
        ]
        right = np.array(references), truth[Path(name).stem], mixture, rate
        if perfect_turns:
            turns, files = truth[Path(name).stem], with_perfect_turns(files, *right)
        scores.append(score(files, turns, *right))
    return scores, elapsed


def row(title: str, scores: list[Score], elapsed: float) -> str:
    """Return a row of the table."""
    speech = sum(each.speech_seconds for each in scores)
    cells = [
        title,
        str(len(scores)),
        f"{100 * max(0.0, sum(each.error_seconds for each in scores)) / speech:.1f} %",
        f"{100 * sum(each.wrong_seconds for each in scores) / speech:.1f} %",
        f"{sum(each.num_mixed for each in scores)} of {sum(each.num_files for each in scores)}",
        f"{sum(each.num_files == each.num_people for each in scores)} of {len(scores)}",
        f"{np.mean([each.si_sdri for each in scores]):.1f} dB",
        f"{np.median([each.silent_db for each in scores]):.0f} dB",
        f"{elapsed / sum(each.seconds for each in scores):.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    own = sys.argv[1:]
    options = own[own.index("--") + 1 :] if "--" in own else []
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, default=Path("../shared/speech"))
    parser.add_argument("--split", default="dev")
    parser.add_argument("--work", type=Path, default=Path("runs/conversations"))
    parser.add_argument("--speakers", type=int, nargs="+", default=(2, 3, 4, 5))
    parser.add_argument("--count", type=int, default=2, help="conversations per share of overlap")
    parser.add_argument("--seconds", type=float, default=75.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--noise", action="store_true")
    parser.add_argument("--rooms", action="store_true")
    parser.add_argument("--perfect-turns", action="store_true")
    parser.add_argument("--each", action="store_true", help="a row a conversation too")
    arguments = parser.parse_args(own[: own.index("--")] if "--" in own else own)
    print("| people | recordings | DER | wrong file | mixed | people | SI-SDRi | silent | time |")
    print("|---" * 9 + "|")
    for num_people in arguments.speakers:
        scores: list[Score] = []
        elapsed = 0.0
        for folder in make_sets(arguments, num_people):
            found, took = measure(folder, options, perfect_turns=arguments.perfect_turns)
            for number, each in enumerate(found if arguments.each else ()):
                print(row(f"{folder.name} {number}", [each], 0.0), flush=True)
            scores += found
            elapsed += took
        print(row(str(num_people), scores, elapsed), flush=True)


if __name__ == "__main__":
    main()
