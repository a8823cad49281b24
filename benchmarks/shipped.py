"""Judge the networks inside the package and write down what came out.

    python benchmarks/shipped.py scores FOLDER SPEECH [NAME...]  # on the sets that FOLDER holds
    python benchmarks/shipped.py scores FOLDER SPEECH --set alone  # on one of them
    python benchmarks/shipped.py speed [NAME...]                   # in chunks of the model's length

Estimates are the files that `sepcli separate` writes. SPEECH is where the mixtures came from; its
`manifest.csv` says who is a woman, a man or a child. Scores and speed go to docs/shipped.json,
which `tools/tables.py` reads; the mean scores and the number of operations also go to
each network's `model.toml`, which `sepcli info` reads. `make scores` makes the mixtures and does
the first.
"""

import argparse
import csv
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from sepcli.evaluation.complexity import count_parameters, macs_per_second
from sepcli.models.build import build_network
from sepcli.models.entry import ModelEntry
from sepcli.models.registry import MODEL_FILE, load_entries, read_toml
from sepcli.training.export import to_toml

RECORD = Path(__file__).parents[1] / "docs" / "shipped.json"
SETS = {  # folder → the mixtures to take there, and the score's name
    "clean": ("mix_clean", "dev SI-SDRi"),
    "noisy": ("mix_both", "dev noisy SI-SDRi"),
    "room": ("mix_clean", "dev reverberant SI-SDRi"),
    "conversation": ("mix_clean", "dev conversation SI-SDRi"),
}
ALONE = "alone"  # folder of mixtures of one speaker
POOR_DB = -1.0  # mixtures below are counted
QUIETEST_DB = -100.0  # where a file holds nothing at all
CONFIDENCE = 1.96  # standard errors on either side of a mean
THREADS = 2
RUNS = 11


def sepcli(*arguments: object) -> dict[str, Any]:
    """Return the last object that a command of sepcli prints."""
    command = [sys.executable, "-m", "sepcli", *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def separate(entry: ModelEntry, mixtures: Path, output: Path) -> None:
    """Separate all mixtures of a folder as a user would."""
    options = ("--model", entry.name, "--output-dir", output)
    sepcli("separate", mixtures, *options, "--quiet")


def score(entry: ModelEntry, folder: Path, mixtures: str, groups: Mapping[str, set[str]]) -> Any:
    """Return what SI-SDRi a set of mixtures came to, all of it and by groups of recordings."""
    with tempfile.TemporaryDirectory() as output:
        separate(entry, folder / mixtures, Path(output))
        listed = Path(output) / "scores.csv"
        options = ("--mixtures", mixtures, "--estimates", output, "--csv", listed, "--quiet")
        sepcli("evaluate", folder, *options)
        with listed.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["si_sdri"]]
    gained: dict[str, list[float]] = {}
    for row in rows:
        gained.setdefault(row["name"], []).append(float(row["si_sdri"]))
    silent = {name for name, values in gained.items() if not np.isfinite(values).all()}
    means = {  # who gets a silent file has gained nothing
        name: float(np.mean(np.nan_to_num(values, neginf=0.0))) for name, values in gained.items()
    }
    found = summary(list(means.values()))
    found["lowest"] = round(min(means.values()), 2)
    found["poor"] = sum(mean < POOR_DB or name in silent for name, mean in means.items())
    found["silent"] = len(silent)
    for group, names in groups.items():
        own = [mean for name, mean in means.items() if name in names]
        if len(own) > 1:  # one alone has no margin
            found[group] = summary(own)
    return found


def silent_level(entry: ModelEntry, folder: Path) -> Any:
    """Return the level of the quieter file against the mixture where one speaker talks [dB]."""
    levels = []
    with tempfile.TemporaryDirectory() as output:
        separate(entry, folder / "mix_clean", Path(output))
        for path in sorted((folder / "mix_clean").iterdir()):
            whole = power(path)
            files = sorted(Path(output).glob(f"{path.stem}_spk*.wav"))
            ratio = min(map(power, files)) / whole
            levels.append(max(QUIETEST_DB, 10 * float(np.log10(ratio + 1e-12))))
    return summary(levels)


def power(path: Path) -> float:
    """Return the mean square of a recording."""
    return float(np.square(soundfile.read(path)[0]).mean())


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return mean, margin of its 95 % interval and count."""
    margin = CONFIDENCE * np.std(values, ddof=1) / len(values) ** 0.5
    return {
        "mean": round(float(np.mean(values)), 2),
        "margin": round(float(margin), 2),
        "count": len(values),
    }


def voices(speech: Path) -> dict[str, str]:
    """Return which voice each speaker of the manifest has: f, m or child."""
    with (speech / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return {
            f"{row['corpus']}/{row['speaker']}": (
                "child" if row["age_group"] == "child" else row["gender"]
            )
            for row in csv.DictReader(file)
        }


def groups_of(folder: Path, kinds: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the recordings of a set by who talks: two of a kind, different ones, a child."""
    groups: dict[str, set[str]] = {"same_sex": set(), "different_sex": set(), "children": set()}
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            heard = [kinds[speaker] for speaker in row["speakers"].split("|")]
            if "child" in heard:
                group = "children"
            else:
                group = "same_sex" if len(set(heard)) == 1 else "different_sex"
            groups[group].add(Path(row["mix_clean"]).stem)
    return groups


def scores(
    entry: ModelEntry, folder: Path, speech: Path, sets: Sequence[str]
) -> Iterator[tuple[str, Any]]:
    """Yield the name of each set of mixtures and what it came to; first the mixtures' rate."""
    kinds = voices(speech)
    first = min((folder / sets[0] / "mix_clean").iterdir())
    yield "sample_rate", soundfile.info(first).samplerate
    for name in sets:
        if name == ALONE:
            yield name, silent_level(entry, folder / name)
            continue
        groups = groups_of(folder / name, kinds) if name == "clean" else {}
        yield name, score(entry, folder / name, SETS[name][0], groups)


def speed(entry: ModelEntry) -> dict[str, Any]:
    """Return how fast the network runs here."""
    options = ("--threads", THREADS, "--chunk", entry.chunk_seconds, "--runs", RUNS)
    found = sepcli("bench", entry.name, "--device", "cpu", *options)
    return {
        "real_time_factor": float(f"{found['real_time_factor']:.3g}"),
        "threads": found["threads"],
        "chunk_seconds": entry.chunk_seconds,
        "processor": processor(),
    }


def processor() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def describe(entry: ModelEntry, known: dict[str, Any]) -> None:
    """Write scores and sizes into the network's `model.toml`."""
    assert entry.folder is not None
    network, _ = build_network(entry.architecture, entry.config, where=entry.name)
    body = read_toml(entry.folder / MODEL_FILE)
    body["parameters"] = count_parameters(network)
    body["macs_per_second"] = macs_per_second(network, entry.sample_rate)
    judged = {title: known[name]["mean"] for name, (_, title) in SETS.items() if name in known}
    if judged:
        body["scores"] = judged
    (entry.folder / MODEL_FILE).write_text(to_toml(body))


def main() -> None:
    """Judge what is named, or all there is; write after each, because they take minutes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="what", required=True)
    judged = kinds.add_parser("scores")
    judged.add_argument("folder", type=Path, help="of the test sets")
    judged.add_argument("speech", type=Path, help="that the mixtures were made of")
    judged.add_argument("--set", action="append", dest="sets", choices=[*SETS, ALONE])
    kinds.add_parser("speed")
    for kind in kinds.choices.values():
        kind.add_argument("names", nargs="*", metavar="NAME", help="built-in models; default: all")
    arguments = parser.parse_args()
    record = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    for entry in load_entries().values():
        if not entry.builtin or (arguments.names and entry.name not in arguments.names):
            continue
        known = record.setdefault(entry.name, {})
        if arguments.what == "scores":
            sets = arguments.sets or [*SETS, ALONE]
            found = dict(scores(entry, arguments.folder, arguments.speech, sets))
            rate = known.get("sample_rate", entry.sample_rate)
            if arguments.sets and known and rate != found["sample_rate"]:
                parser.error(f"{entry.name} was judged at another rate on other sets: {rate} Hz")
            known |= found
        else:
            known["speed"] = speed(entry)
        describe(entry, known)
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
        print(entry.name, json.dumps(known))


if __name__ == "__main__":
    main()
