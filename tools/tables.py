"""Write the tables of README.md, docs/models.md and docs/training.md from what is known of models.

That is models.toml, the package, docs/shipped.json, which benchmarks/shipped.py measured, and
docs/speeds.json, which benchmarks/speeds.py did.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from sepcli.cli.info import is_experimental
from sepcli.models.entry import ModelEntry
from sepcli.models.onnx import obstacle
from sepcli.models.registry import load_entries

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "models.md", ROOT / "docs" / "training.md")
MEASURED: dict[str, Any] = json.loads((ROOT / "docs" / "shipped.json").read_text())
SPEEDS: dict[str, Any] = json.loads((ROOT / "docs" / "speeds.json").read_text())
SPEED_CHUNK = "4"  # of those measured, the one in the table [s]
# what docs/shipped.json calls a score, and its column
SETS = {
    "clean": "clean",
    "noisy": "noisy",
    "room": "in a room",
    "conversation": "conversation",
    "alone": "silent file",
}
# what docs/training.md says of networks judged on the same mixtures: words, where it is
COMPARED = ("ensemble-16k", "stftformer-8k")
SCORES = {
    "clean": ("clean",),
    "– of these: two women or two men ({count})": ("clean", "same_sex"),
    "– a woman and a man ({count})": ("clean", "different_sex"),
    "– with a child ({count})": ("clean", "children"),
    "noisy, 0 to 20 dB": ("noisy",),
    "in a room": ("room",),
    "conversation, 25 % overlap, 60 s": ("conversation",),
    "one speaker alone: level of the silent file": ("alone",),
}


def table(header: str, rows: Iterable[str]) -> str:
    """Return a Markdown table with its header line."""
    rule = "|" + "---|" * header.count("|")
    return "\n".join([f"|{header}", rule, *rows])


def published(entries: Iterable[ModelEntry]) -> Iterator[str]:
    """Yield one row per published model."""
    for entry in entries:
        scores = "; ".join(f"{value:g} dB ({name})" for name, value in entry.scores.items())
        yield (
            f"| `{entry.name}` | {entry.speakers} | {entry.sample_rate // 1000} kHz "
            f"| {entry.parameters / 1e6:.1f} M | {entry.download_bytes / 1e6:.0f} MB "
            f"| {entry.macs_per_second / 1e9:.1f} G | {processor_time(entry)} "
            f"| {scores} | {entry.trained_on} "
            f"| {'' if obstacle(entry.config) else 'yes'} | {entry.license} |"
        )


def processor_time(entry: ModelEntry) -> str:
    """Return the processor time a second of audio of a network like the entry's; empty for none."""
    for name, row in SPEEDS.items():
        if SPEED_CHUNK in row["chunks"] and network_of(load_entries()[name]) == network_of(entry):
            return f"{row['chunks'][SPEED_CHUNK]['seconds']:.2g} s"
    return ""


def network_of(entry: ModelEntry) -> tuple[str, int, dict[str, Any]]:
    """Return what makes the network of an entry, but for its weights."""
    return entry.architecture, entry.sample_rate, dict(entry.config)


def judged_at(entry: ModelEntry) -> int:
    """Return the rate of the mixtures that a built-in model was judged on [Hz], 0 for none."""
    return int(MEASURED.get(entry.name, {}).get("sample_rate", 0))


def first_score(entry: ModelEntry) -> float:
    """Return the first of an entry's scores."""
    return next(iter(entry.scores.values()), 0.0)


def with_margin(score: dict[str, Any]) -> str:
    """Return a mean and its 95 % interval."""
    return f"{score['mean']:.2f} ± {score['margin']:.2f} dB"


def compared() -> Iterator[str]:
    """Yield one row per kind of mixtures."""
    for words, keys in SCORES.items():
        scores = [reduce(getitem, keys, MEASURED[name]) for name in COMPARED]
        cells = [with_margin(score).replace("-", "−") for score in scores]
        yield f"| {words.format_map(scores[0])} | {' | '.join(cells)} |"
    clean = [MEASURED[name]["clean"] for name in COMPARED]
    poor = " | ".join(str(score["poor"]) for score in clean)
    yield f"| clean mixtures below −1 dB, of {clean[0]['count']} | {poor} |"


def builtin(entries: Iterable[ModelEntry]) -> Iterator[str]:
    """Yield one row per model inside the package, the best first."""
    for entry in sorted(entries, key=lambda entry: (-judged_at(entry), -first_score(entry))):
        known = MEASURED.get(entry.name, {})
        scores = [known.get(name) for name in SETS]
        cells = [with_margin(score) if score else "" for score in scores]
        speed = f"{1 / known['speed']['real_time_factor']:.0f} ×" if "speed" in known else ""
        yield (
            f"| `{entry.name}`{', experimental' if is_experimental(entry) else ''} "
            f"| {entry.sample_rate // 1000} kHz | {entry.parameters / 1e6:.2f} M "
            f"| {entry.download_bytes / 1e6:.1f} MB | {entry.macs_per_second / 1e9:.2f} G "
            f"| {judged_at(entry) // 1000} kHz | {' | '.join(cells)} | {speed} |"
        )


def measured_on() -> str:
    """Return what the speeds were measured on."""
    places = {
        (known["speed"]["threads"], known["speed"]["processor"])
        for known in MEASURED.values()
        if "speed" in known
    }
    return "; ".join(f"{threads} threads, {name}" for threads, name in sorted(places))


def filled(text: str) -> str:
    """Return a page with its tables as the entries say."""
    entries = list(load_entries().values())
    tables = {
        "models": table(
            " model | speakers | rate | parameters | download | operations/s | processor time |"
            " published score |"
            " trained on | ONNX | licence |",
            published(entry for entry in entries if entry.repo),
        )
        + f"\n\nProcessor: {', '.join(sorted({row['processor'] for row in SPEEDS.values()}))}.",
        "builtin": table(
            " model | rate | parameters | size | operations/s | judged at |"
            f" {' | '.join(SETS.values())} |"
            " speed |",
            builtin(entry for entry in entries if entry.builtin),
        )
        + (f"\n\nSpeed: against real time, {measured_on()}." if measured_on() else ""),
    }
    names = " | ".join(f"`{name}`" for name in COMPARED)
    tables["scores"] = table(f" mixtures | {names} |", compared())
    for name, content in tables.items():
        if f"<!-- {name}:" not in text:
            continue
        begin, end = text.index(f"<!-- {name}:"), text.index(f"<!-- /{name} -->")
        begin = text.index("-->", begin) + len("-->")
        text = f"{text[:begin]}\n{content}\n{text[end:]}"
    return text


if __name__ == "__main__":
    old = {page: page.read_text() for page in PAGES}
    new = {page: filled(text) for page, text in old.items()}
    if "--check" in sys.argv:
        sys.exit(new != old)
    for page, text in new.items():
        page.write_text(text)
