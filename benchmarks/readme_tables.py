"""Write the README's tables of models from models.toml and the folders inside the package."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from sepcli.registry import ModelEntry, load_entries

README = Path(__file__).parents[1] / "README.md"


def table(header: str, rows: Iterable[str]) -> str:
    """Return a Markdown table with its header line."""
    rule = "|" + "---|" * header.count("|")
    return "\n".join([f"|{header}", rule, *rows])


def published(entries: Iterable[ModelEntry]) -> Iterator[str]:
    """Yield one row per model on the hub."""
    for entry in entries:
        scores = "; ".join(f"{value:g} dB ({name})" for name, value in entry.scores.items())
        yield (
            f"| `{entry.name}` | {entry.speakers} | {entry.sample_rate // 1000} kHz "
            f"| {entry.parameters / 1e6:.1f} M | {entry.download_bytes / 1e6:.0f} MB "
            f"| {entry.macs_per_second / 1e9:.1f} G | {scores} | {entry.license} |"
        )


def builtin(entries: Iterable[ModelEntry]) -> Iterator[str]:
    """Yield one row per model inside the package."""
    for entry in entries:
        scores = "; ".join(f"{value:g} dB ({name})" for name, value in entry.scores.items())
        size = sum((entry.folder / name).stat().st_size for name in entry.files if entry.folder)
        yield (
            f"| `{entry.name}` | {entry.sample_rate // 1000} kHz | {entry.parameters / 1e6:.2f} M "
            f"| {size / 1e6:.1f} MB | {entry.macs_per_second / 1e9:.2f} G | {scores} |"
        )


def filled(text: str) -> str:
    """Return the README with its tables as the entries say."""
    entries = list(load_entries().values())
    tables = {
        "models": table(
            " model | speakers | rate | parameters | download | operations/s | published score |"
            " licence |",
            published(entry for entry in entries if entry.repo),
        ),
        "builtin": table(
            " model | rate | parameters | size | operations/s | measured score |",
            builtin(entry for entry in entries if entry.builtin),
        ),
    }
    for name, content in tables.items():
        begin, end = text.index(f"<!-- {name}:"), text.index(f"<!-- /{name} -->")
        begin = text.index("-->", begin) + len("-->")
        text = f"{text[:begin]}\n{content}\n{text[end:]}"
    return text


if __name__ == "__main__":
    old = README.read_text()
    new = filled(old)
    if "--check" in sys.argv:
        sys.exit(new != old)
    README.write_text(new)
