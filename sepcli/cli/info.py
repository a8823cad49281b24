"""`sepcli info`: the models there are, or everything about one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len

from sepcli.cli import console
from sepcli.errors import UsageError
from sepcli.files import printable
from sepcli.models import web
from sepcli.models.cache import cached_files
from sepcli.models.entry import ModelEntry, Source
from sepcli.models.registry import (
    DEFAULT_MODEL,
    HUB_PREFIX,
    complete_model,
    find_entry,
    load_entries,
)

if TYPE_CHECKING:
    from sepcli.separation.speakers.embedding.voices import VoiceModel

EXPERIMENTAL_DB = 5.0  # a network inside the package whose score is below this is no help yet


def info(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="A name, a folder, hf:ORG/REPO, or ecapa, a speaker embedding; default: all.",
            autocompletion=complete_model,
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line, not a table.")
    ] = False,
    count: Annotated[
        bool, typer.Option("--count", help="Build MODEL and count its parameters and operations.")
    ] = False,
) -> None:
    """List the models, or show everything about one."""
    if count and model is None:
        raise UsageError("--count needs a MODEL", "name one; see: sepcli info")
    if model is not None:
        _tell_one(model, as_json=as_json, count=count)
    elif as_json:
        for entry in load_entries().values():
            console.result_json(record(entry))
    else:
        _tell_all()


def record(entry: ModelEntry) -> dict[str, Any]:
    """Return what is known about a model, as `--json` gives it."""
    return {
        "name": entry.name,
        "architecture": entry.architecture,
        "speakers": entry.speakers,
        "sample_rate": entry.sample_rate,
        "parameters": entry.parameters,
        "macs_per_second": entry.macs_per_second,
        "download_bytes": entry.download_bytes,
        "license": entry.license,
        "trained_on": entry.trained_on,
        "scores": dict(entry.scores),
        "cached": is_here(entry),
        "builtin": entry.builtin,
        "experimental": is_experimental(entry),
        "repo": entry.repo,
        "revision": entry.revision if entry.repo else "",
        "address": entry.address,
        "fallback": entry.fallback,
        "folder": str(entry.folder or ""),
        "format": entry.format,
        "files": list(entry.files),
        "chunk_seconds": entry.chunk_seconds,
        "overlap_seconds": entry.overlap_seconds,
        "level": entry.level,
        "paper": entry.paper,
        "note": entry.note,
        "config": _plain(entry.config),
    }


def is_here(entry: ModelEntry) -> bool:
    """Return whether the model, or what stands in for it, can run without a download."""
    if cached_files(entry) is not None:
        return True
    return bool(entry.fallback) and cached_files(find_entry(entry.fallback)) is not None


def is_experimental(entry: ModelEntry) -> bool:
    """Return whether a model inside the package separates too little to be of use."""
    return entry.builtin and next(iter(entry.scores.values()), 0.0) < EXPERIMENTAL_DB


def _tell_all() -> None:
    entries = load_entries().values()
    wide = {
        "name": [entry.name for entry in entries],
        "speakers": [str(entry.speakers) for entry in entries],
        "rate": [f"{entry.sample_rate / 1000:g} kHz" for entry in entries],
        "params": [_count(entry.parameters) for entry in entries],
        "download": [_size(entry) for entry in entries],
        "MAC/s": [_count(entry.macs_per_second) for entry in entries],
        "licence": [entry.license for entry in entries],
        "score": [_best_score(entry) for entry in entries],
        "cached": [_place(entry) for entry in entries],
    }
    narrow = {
        "name": wide["name"],
        "spk": wide["speakers"],
        "rate": wide["rate"],
        "SI-SDRi": [score.replace(" SI-SDRi", "") for score in wide["score"]],
        "cached": ["yes" if is_here(entry) else "no" for entry in entries],
    }
    console.show_lines(_table(wide), narrow=_table(narrow))


def _table(columns: dict[str, list[str]]) -> list[str]:
    """Return the lines of columns side by side, with their titles first."""
    laid_out = []
    for title, cells in columns.items():
        cells = [title, *map(printable, cells)]
        width = max(map(cell_len, cells))
        is_left = title in ("name", "licence", "score", "SI-SDRi", "cached")
        gaps = [" " * (width - cell_len(cell)) for cell in cells]
        laid_out.append([c + g if is_left else g + c for c, g in zip(cells, gaps, strict=True)])
    return ["  ".join(row).rstrip() for row in zip(*laid_out, strict=True)]


def _tell_one(model: str, *, as_json: bool, count: bool) -> None:
    from sepcli.models.resolve import resolve_model

    if model not in load_entries():
        from sepcli.separation.speakers.embedding import VOICES  # loads numpy

        if model in VOICES:
            _tell_voices(VOICES[model], as_json=as_json)
            return
    entry = resolve_model(model)
    known = record(entry)
    if count or not (entry.parameters and entry.macs_per_second):
        known |= _counted(entry)
    if as_json:
        console.result_json(known)
    else:
        _show_lines(_lines(entry, known))


def _counted(entry: ModelEntry) -> dict[str, int]:
    """Return what the network of an entry has, counted on the network itself."""
    from sepcli.evaluation.complexity import count_parameters, macs_per_second
    from sepcli.models.build import build_network

    where = f"model {entry.name}"
    network, _ = build_network(entry.architecture, entry.config, where=where)
    return {
        "parameters": count_parameters(network),
        "macs_per_second": macs_per_second(network, entry.sample_rate),
    }


def _tell_voices(voices: "VoiceModel", *, as_json: bool) -> None:
    known = {
        "name": voices.name,
        "use": f"sepcli separate --voices {voices.name}",
        "download_bytes": voices.download_bytes,
        "cached": cached_files(voices) is not None,
        "license": voices.license,
        "trained_on": voices.trained_on,
        "paper": voices.paper,
        "repo": voices.repo,
        "revision": voices.revision,
        "note": voices.note,
    }
    if as_json:
        console.result_json(known)
        return
    lines = [
        ("name", voices.name),
        ("use", f"{known['use']}: tells speakers apart"),
        ("download", _size(voices)),
        ("cached", "yes" if known["cached"] else "no"),
        ("licence", voices.license),
        ("trained on", voices.trained_on),
        ("paper", voices.paper),
        ("from", f"{HUB_PREFIX}{voices.repo} at {voices.revision}"),
        ("note", voices.note),
    ]
    _show_lines(lines)


def _show_lines(lines: Sequence[tuple[str, str]]) -> None:
    """Show labels and texts as a table of two columns."""
    if not console.shows_style():
        width = max(len(label) for label, _ in lines) + 2
        below = "\n" + " " * width
        shown = [below.join(map(printable, text.split("\n"))) for _, text in lines]
        console.result(
            *(label.ljust(width) + text for (label, _), text in zip(lines, shown, strict=True))
        )
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in lines:
        table.add_row(label, console.text(text))
    console.show(table, folds=True)


def _lines(entry: ModelEntry, known: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the label and text of each line about a model; nothing is said where all is blank."""
    source = f"{HUB_PREFIX}{entry.repo} at {entry.revision}" if entry.repo else str(entry.folder)
    if entry.address:
        source = web.address(entry, entry.files[0])
    scores = [f"{name} {value:g} dB" for name, value in entry.scores.items()]
    lines = [
        ("name", entry.name),
        ("architecture", entry.architecture),
        ("speakers", str(entry.speakers)),
        ("sample rate", f"{entry.sample_rate} Hz"),
        ("parameters", f"{known['parameters']:,}"),
        (
            "operations",
            f"{known['macs_per_second'] / 1e9:.2f} G multiply-accumulates per second of audio "
            f"(counted on 4 s at {entry.sample_rate} Hz)",
        ),
        ("download", _size(entry)),
        ("cached", _place(entry)),
        ("licence", entry.license),
        ("trained on", entry.trained_on),
        ("scores", ", ".join(scores)),
        ("state", "experimental, separates little yet" if is_experimental(entry) else ""),
        ("paper", entry.paper),
        ("from", source),
        ("fallback", entry.fallback),
        ("files", ", ".join(entry.files)),
        ("chunks", f"{entry.chunk_seconds:g} s, overlap {entry.overlap_seconds:g} s"),
        ("level", entry.level),
        ("note", entry.note),
        ("config", "\n".join(_settings(known["config"]))),
    ]
    return [(label, text) for label, text in lines if text]


def _place(entry: ModelEntry) -> str:
    """Return whether a model is here, and whether it is what `sepcli separate` takes."""
    if entry.builtin:
        return "built in, default" if entry.name == DEFAULT_MODEL else "built in"
    return "yes" if is_here(entry) else "no"


def _settings(config: Mapping[str, Any], within: str = "") -> list[str]:
    """Return a line for each value of a configuration, those of tables within after their name."""
    lines = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            lines += _settings(value, f"{within}{key}.")
        else:
            lines.append(f"{within}{key} = {value}")
    return lines


def _plain(value: Any) -> Any:
    """Return a value with dictionaries for read-only tables and lists for tuples, as JSON has."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _count(number: int) -> str:
    """Return a count with three digits and a suffix, such as `25.7 M`; empty for 0."""
    for suffix, unit in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= unit:
            return f"{number / unit:.3g} {suffix}"
    return str(number) if number else ""


def _size(entry: Source) -> str:
    if not entry.download_bytes:
        return ""
    return f"{entry.download_bytes / 1e6:.3g} MB"


def _best_score(entry: ModelEntry) -> str:
    """Return the first score, which the table puts first because it is the main one."""
    remark = ", experimental" if is_experimental(entry) else ""
    for name, value in entry.scores.items():
        return f"{value:.1f} dB {name}{remark}"
    return remark.removeprefix(", ")
