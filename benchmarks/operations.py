"""Write docs/operations.md, and the operations of every entry of models.toml.

Counts parameters and multiply-accumulates on the meta device, so no weights and no fast machine
are needed; every number of ours in the table comes from here, those of the papers from
operations.toml beside this script.

    python benchmarks/operations.py            # writes both files
    python benchmarks/operations.py --check    # says whether they are up to date
"""

import json
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sepcli.evaluation.complexity import count_macs, count_parameters
from sepcli.models.build import build_network
from sepcli.models.registry import load_entries

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "operations.md"
TABLE = ROOT / "models.toml"
NETWORKS = Path(__file__).with_suffix(".toml")
RECORDED = ROOT / "tests" / "data" / "golden" / "full"  # counts of the published code


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network in the table; operations.toml says what its fields mean."""

    title: str
    entry: str = ""
    architecture: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    sample_rate: int = 8000
    paper_parameters: float = 0.0
    paper_macs: float = 0.0
    seconds: int = 1
    source: str = ""
    code: str = ""
    why: str = ""


def read_rows() -> list[Row]:
    """Return the networks of the table, each with its reason written out."""
    content = tomllib.loads(NETWORKS.read_text())
    reasons = content["reasons"]
    return [Row(**{**row, "why": reasons.get(row.get("why"), "")}) for row in content["network"]]


ROWS = read_rows()


@cache
def measured(architecture: str, config: str, sample_rate: int, seconds: int) -> tuple[int, int]:
    """Return parameters, and multiply-accumulates per second of audio, of a configuration.

    Args:
        architecture: Module under `sepcli.networks`.
        config: Its configuration as JSON.
        sample_rate: Rate of the input [Hz].
        seconds: Length of the input.
    """
    network, _ = build_network(architecture, json.loads(config), where=architecture)
    macs = count_macs(network, seconds * sample_rate) / seconds
    return count_parameters(network), round(macs)


ENTRIES = load_entries()


def network_of(row: Row) -> tuple[str, str, int]:
    """Return architecture, configuration as JSON, and rate of a row."""
    if not row.entry:
        return row.architecture, json.dumps(dict(row.config), sort_keys=True), row.sample_rate
    entry = ENTRIES[row.entry]
    return entry.architecture, json.dumps(dict(entry.config), sort_keys=True), entry.sample_rate


def table() -> Iterator[str]:
    """Yield the lines of the table, and below it the reasons for what differs."""
    yield (
        "| network | input | parameters | of the paper | MAC/s, 1 s | MAC/s, 4 s "
        "| of the paper | of the published code, 4 s | source |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    reasons = []
    for row in ROWS:
        architecture, config, sample_rate = network_of(row)
        parameters, one = measured(architecture, config, sample_rate, 1)
        _, four = measured(architecture, config, sample_rate, 4)
        code = recorded(row.code) / 1e9 if row.code else 0.0
        ours = measured(architecture, config, sample_rate, row.seconds)[1] / 1e9
        published = row.paper_macs / row.seconds
        off = []
        if published and abs(ours / published - 1) > 0.03:
            off.append(f"{ours / published - 1:+.0%} to the paper")
        if code and abs(four / 1e9 / code - 1) > 0.03:
            off.append(f"{four / 1e9 / code - 1:+.0%} to the published code")
        if off:
            reason = f"- {row.title} ({', '.join(off)}): {row.why or 'not explained'}."
            reasons.append(textwrap.fill(reason, 140, subsequent_indent="  "))
        paper = f"{row.paper_parameters:g} M" if row.paper_parameters else ""
        yield (
            f"| {row.title} | {sample_rate // 1000} kHz | {parameters:,} | {paper} "
            f"| {one / 1e9:.2f} G | {four / 1e9:.2f} G "
            f"| {f'{published:.2f} G' if published else ''} "
            f"| {f'{code:.2f} G' if code else ''} | {row.source} |"
        )
    yield ""
    yield "Where ours differ by more than 3 %:"
    yield ""
    yield from reasons


def recorded(name: str) -> float:
    """Return multiply-accumulates per second of the published code, on 4 s."""
    return float(json.loads((RECORDED / f"{name}.json").read_text())["macs"]["4s"]) / 4


def claims() -> Iterator[str]:
    """Yield the founding papers' claims beside what is measured here."""
    rows = {row.title: row for row in ROWS}

    def of(title: str, seconds: int = 1) -> tuple[int, int]:
        return measured(*network_of(rows[title]), seconds)

    sepformer = of("SepFormer")
    yield "| claim | in the paper | here |"
    yield "|---|---|---|"
    for title, share in (("TDANet (4 ms)", "5 %"), ("TDANet Large (2 ms)", "10 %")):
        macs = of(title)[1]
        here = f"{macs / 86.9e9:.1%} of the published 86.9 G, {macs / sepformer[1]:.1%} of ours"
        yield f"| {title}: operations of SepFormer's | {share} | {here} |"
    tiny = of("S4M-tiny")
    yield f"| S4M-tiny: parameters | 1.8 M | {tiny[0] / 1e6:.2f} M |"
    here = f"{tiny[1] / 86.9e9:.1%} of the published 86.9 G, {tiny[1] / sepformer[1]:.1%} of ours"
    yield f"| S4M-tiny: operations of SepFormer's | 9.2 % | {here} |"
    galr, dprnn = of("GALR, small", 4), of("DPRNN of GALR's paper, 64 wide", 4)
    yield f"| GALR: parameters | 1.5 M | {galr[0] / 1e6:.2f} M |"
    yield f"| GALR: operations below DPRNN's | 49.4 % | {1 - galr[1] / dprnn[1]:.1%} |"
    group, plain = of("GroupComm-DPRNN, no codec", 4), of("DPRNN, 64 wide, 2 ms", 4)
    yield f"| GroupComm: times fewer parameters | 35.6 | {plain[0] / group[0]:.1f} |"
    yield f"| GroupComm: times fewer operations | 2.3 | {plain[1] / group[1]:.1f} |"
    yield f"| SPGM: share of the modulation's parameters | 2 % | {modulation_share():.1%} |"


def modulation_share() -> float:
    """Return the share of SPGM's parameters that its modulation has."""
    entry = ENTRIES["spgm-base"]
    network, _ = build_network(entry.architecture, entry.config, where="spgm")
    inside = sum(p.numel() for name, p in network.named_parameters() if ".inter_mdl." in name)
    return inside / count_parameters(network)


def document() -> str:
    """Return docs/operations.md."""
    head = """# Parameters and operations

Written by `benchmarks/operations.py`. Counted are convolutions, linear maps, matrix products,
attention, recurrent layers and Fourier transforms; not norms, activations and elementwise work.
One multiply-accumulate is two floating-point operations. Padding to whole segments weighs more in
a short input, so the length of the input is stated with each count. `sepcli info NAME` counts
the same way, on 4 s.
"""
    foot = """
## What the founding papers claim

The papers count with tools and inputs they do not name. SepFormer's figure of 86.9 G, which S4M's
claim builds on, is not what the published code has: 69.0 G on one second, 59.2 G a second on four.
The settings of GroupComm's first paper are not public, so its claims are put beside the later
code's network without its codec, 128 filters in 16 groups, and DPRNN of the same window: the
parameters agree; its operations depend on the segment's length, which is 100 frames here.
"""
    return "\n".join([head, *table(), foot, *claims()]) + "\n"


def models_table() -> str:
    """Return models.toml with the operations of each entry as counted."""
    text = TABLE.read_text()
    for name, entry in ENTRIES.items():
        head = f"[{name}]\n"
        if head not in text:
            continue  # inside the package, or the user's own
        start = text.index(head) + len(head)
        end = text.find("\n[", start)
        body = re.sub(r"macs_per_second = .*\n", "", text[start:end] + "\n")
        config = json.dumps(dict(entry.config), sort_keys=True)
        _, macs = measured(entry.architecture, config, entry.sample_rate, 4)
        body = re.sub(r"(parameters = .*\n)", rf"\1macs_per_second = {macs:_}\n", body)
        text = text[:start] + body.removesuffix("\n") + text[end:]
    return text


def main() -> int:
    """Write both files, or with `--check` compare them; return the exit code."""
    stale = 0
    for file, made in ((TABLE, models_table), (DOCUMENT, document)):
        content = made()
        if "--check" in sys.argv:
            stale += not file.is_file() or file.read_text() != content
        else:
            file.write_text(content)
    if stale:
        print("out of date: run python benchmarks/operations.py", file=sys.stderr)
    return int(stale > 0)


if __name__ == "__main__":
    raise SystemExit(main())
