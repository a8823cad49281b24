"""Judge the networks inside the package and write down what came out.

    python benchmarks/shipped.py scores FOLDER [NAME...]   # on FOLDER/clean, noisy and room
    python benchmarks/shipped.py speed [NAME...]           # in chunks of the model's length

Scores and speed go to docs/shipped.json, which `benchmarks/readme_tables.py` reads; the mean scores
and the number of operations also go to each network's `model.toml`, which `sepcli info` reads.
`make scores` makes the mixtures and does the first.
"""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sepcli.evaluation.complexity import count_parameters, macs_per_second
from sepcli.models.build import build_network
from sepcli.models.registry import MODEL_FILE, ModelEntry, load_entries, read_toml
from sepcli.training.export import to_toml

RECORD = Path(__file__).parents[1] / "docs" / "shipped.json"
SETS = {  # folder → the mixtures to take there, and the score's name
    "clean": ("mix_clean", "dev SI-SDRi"),
    "noisy": ("mix_both", "dev noisy SI-SDRi"),
    "room": ("mix_clean", "dev reverberant SI-SDRi"),
}
THREADS = 2
RUNS = 11


def sepcli(*arguments: object) -> dict[str, Any]:
    """Return the last object that a command of sepcli prints."""
    command = [sys.executable, "-m", "sepcli", *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def scores(entry: ModelEntry, folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield the name of each set of mixtures, and mean, margin and count of SI-SDRi on it."""
    for name, (mixtures, _) in SETS.items():
        options = ("--mixtures", mixtures, "--model", entry.name, "--quiet")
        found = sepcli("evaluate", folder / name, *options)["summary"]["si_sdri"]
        yield (
            name,
            {
                "mean": round(found["mean"], 2),
                "margin": round(found["margin"], 2),
                "count": found["count"],
            },
        )


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
    kinds.add_parser("scores").add_argument("folder", type=Path, help="of the test sets")
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
            known |= dict(scores(entry, arguments.folder))
        else:
            known["speed"] = speed(entry)
        describe(entry, known)
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
        print(entry.name, json.dumps(known))


if __name__ == "__main__":
    main()
