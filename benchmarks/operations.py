"""Write docs/operations.md, and the operations of every entry of models.toml.

Counts parameters and multiply-accumulates on the meta device, so no weights and no fast machine
are needed; every number of ours in the table comes from here, those of the papers from ROWS below.

    python benchmarks/operations.py            # writes both files
    python benchmarks/operations.py --check    # says whether they are up to date
"""

import json
import re
import sys
import textwrap
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
RECORDED = ROOT / "tests" / "data" / "golden" / "full"  # counts of the published code

TWO_MAPS = (
    "attention over a single element is two linear maps, where the published code computes queries "
    "and keys too, which change nothing"
)
OTHER_COUNTER = "the paper's counter is not known; the published code, counted as here, agrees"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network in the table.

    Attributes:
        title: As the papers call it.
        entry: Entry of models.toml whose architecture and configuration it has; else:
        architecture: Module under `sepcli.networks`.
        config: What differs from the defaults of its `Config`.
        sample_rate: Rate the paper counts at [Hz].
        paper_parameters: Parameters in the paper [millions]; 0 for none.
        paper_macs: Multiply-accumulates per second of audio in the paper [thousand millions].
        seconds: Length of the input that the paper's count is for.
        source: Where the paper's figures stand.
        code: File with the counts of the published code.
        why: Why ours differ by more than 3 %.
    """

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


S4M_TINY = {"window": 32}
GALR = {"kernel_size": 2, "segment": 250, "positions": 16}
DPRNN_64 = {"kernel_size": 2, "stride": 1, "bottleneck": 64, "segment": 250, "hop": 125}
ROWS = (
    Row(
        title="SPGM",
        entry="spgm-base",
        paper_parameters=26.2,
        paper_macs=77.0,
        source="arXiv 2309.12608",
        code="spgm-base",
        why=OTHER_COUNTER,
    ),
    Row(title="SPGM, opt", entry="spgm-opt", code="spgm-opt"),
    Row(
        title="SepFormer",
        entry="sepformer-wsj02mix",
        paper_parameters=26.0,
        paper_macs=86.9,
        source="table of arXiv 2406.05983",
        code="sepformer-wsj02mix",
        why="that table is for 16,000 samples; " + OTHER_COUNTER,
    ),
    Row(title="SepFormer, 3 speakers", entry="sepformer-libri3mix", code="sepformer-libri3mix"),
    Row(
        title="RE-SepFormer",
        entry="resepformer-wsj02mix",
        paper_parameters=8.0,
        source="arXiv 2206.09507",
        code="resepformer",
    ),
    Row(
        title="TDANet (4 ms)",
        entry="tdanet-4ms",
        paper_parameters=2.3,
        source="arXiv 2209.15200",
        code="tdanetbest-4ms",
        why=TWO_MAPS,
    ),
    Row(
        title="TDANet Large (2 ms)",
        entry="tdanet-2ms",
        paper_parameters=2.3,
        paper_macs=9.19,
        source="table of arXiv 2410.01469",
        code="tdanetbest-2ms",
        why=TWO_MAPS,
    ),
    Row(
        title="S4M-tiny",
        architecture="s4m",
        config=S4M_TINY,
        sample_rate=16000,
        paper_parameters=1.8,
        paper_macs=0.092 * 86.9,
        source="arXiv 2305.16932, 9.2 % of SepFormer's 86.9",
    ),
    Row(
        title="S4M, the repository's default",
        architecture="s4m",
        config={"window": 336, "depth": 4},
        sample_rate=16000,
        code="s4m",
    ),
    Row(
        title="GALR, small",
        architecture="galr",
        config=GALR,
        paper_parameters=1.5,
        source="arXiv 2101.05014",
    ),
    Row(
        title="GALR, large",
        architecture="galr",
        config={**GALR, "filters": 128},
        paper_parameters=2.3,
        source="arXiv 2101.05014",
    ),
    Row(
        title="DPRNN of GALR's paper, 64 wide",
        architecture="dprnn",
        config=DPRNN_64,
        paper_parameters=2.6,
        source="arXiv 1910.06379",
    ),
    *(
        Row(
            title=f"GC3-{name}",
            architecture="gc3",
            config=config,
            sample_rate=16000,
            paper_parameters=parameters,
            paper_macs=macs / 4,
            seconds=4,
            source="arXiv 2012.07291, table V, taken as for 4 s",
            why="the paper counts 25 to 30 % more than the published code has, counted as here",
        )
        for name, config, parameters, macs in (
            ("DPRNN", {"inner": "dprnn", "num_layers": 8}, 0.1238, 3.9),
            ("TCN", {"inner": "tcn"}, 0.1912, 3.4),
            ("Sudo rm -rf", {"inner": "ublock", "num_layers": 7}, 0.0600, 3.2),
            ("DPTNet", {"inner": "transformer", "num_layers": 8}, 0.1286, 3.9),
        )
    ),
    Row(
        title="GC3-DPRNN, 6 layers",
        architecture="gc3",
        sample_rate=16000,
        code="gc3-dprnn",
    ),
    Row(
        title="GroupComm-DPRNN, no codec",
        architecture="gc3",
        config={"context": 0, "segment": 100},
        sample_rate=16000,
    ),
    Row(
        title="DPRNN, 64 wide, 2 ms",
        architecture="dprnn",
        config={"kernel_size": 32, "stride": 16, "bottleneck": 64},
        sample_rate=16000,
        paper_parameters=2.6,
        paper_macs=22.1 / 4,
        seconds=4,
        source="arXiv 2012.07291, table V, taken as for 4 s",
        why="the paper's segment length is not known; ours is 100 frames",
    ),
    Row(
        title="Conv-TasNet (8 kHz)",
        entry="convtasnet-libri2mix-clean-8k",
        paper_parameters=5.1,
        paper_macs=5.23,
        source="table of arXiv 2007.06833",
        code="convtasnet-8k",
        why=OTHER_COUNTER,
    ),
    Row(
        title="Conv-TasNet (16 kHz)", entry="convtasnet-libri2mix-clean-16k", code="convtasnet-16k"
    ),
    Row(
        title="DPRNN (asteroid, window 2)",
        entry="dprnn-ks2-wham",
        code="dprnn-ks2-wham",
    ),
    Row(title="DPTNet (asteroid)", architecture="dptnet", code="dptnet"),
    Row(
        title="Sudo rm -rf 1.0x (asteroid)",
        architecture="sudormrf",
        config={"improved": False},
        paper_parameters=2.66,
        paper_macs=2.52,
        source="arXiv 2007.06833",
        code="sudormrf",
        why="two linear maps in a row, to the masks and along their features, are applied as one",
    ),
    Row(
        title="Sudo rm -rf, improved (asteroid)", architecture="sudormrf", code="sudormrf-improved"
    ),
    Row(
        title="MossFormer2 (16 kHz)",
        entry="mossformer2-ss-16k",
        paper_parameters=55.7,
        source="arXiv 2312.11825",
        code="mossformer2-ss-16k",
    ),
    *(
        Row(
            title=f"SR-CorrNet, {title}",
            entry=f"sr-corrnet-{entry}",
            code=f"srcorrnet-{code}",
            why=why,
        )
        for title, entry, code, why in (
            ("2 speakers", "wsj0-2mix", "wsj-fix-2spk", ""),
            ("2 speakers, large", "large-wsj0-2mix", "wsj-fix-2spk-l-dm", ""),
            ("WHAMR!", "whamr", "whamr", ""),
            (
                "5 speakers at most",
                "wsj0-2-5mix",
                "wsj-var-2-5spk",
                "ours is counted for five speakers, the published code for four",
            ),
        )
    ),
    Row(
        title="TIGER, small",
        architecture="tiger",
        config={"repeats": 4},
        sample_rate=16000,
        paper_parameters=0.82,
        paper_macs=7.65,
        source="arXiv 2410.01469",
        code="tiger-speech-small",
        why=OTHER_COUNTER,
    ),
    Row(
        title="TIGER, large",
        entry="tiger-speech",
        paper_parameters=0.82,
        paper_macs=15.27,
        source="arXiv 2410.01469",
        code="tiger-speech",
        why=OTHER_COUNTER,
    ),
    Row(
        title="TF-Locoformer, medium",
        entry="tflocoformer-wsj02mix",
        paper_parameters=15.0,
        source="arXiv 2408.03440",
        code="tflocoformer-wsj0-2mix",
    ),
    Row(
        title="TF-Locoformer, small",
        entry="tflocoformer-whamr-small",
        paper_parameters=5.0,
        source="arXiv 2408.03440",
        code="tflocoformer-whamr-small",
    ),
    Row(
        title="SepReformer, base",
        entry="sepreformer-base-wsj02mix",
        paper_parameters=14.2,
        paper_macs=39.8 / 2,
        source="arXiv 2406.05983, 39.8 G for 16,000 samples",
        code="sepreformer-base-wsj0",
    ),
)


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
        ours = (one if row.seconds == 1 else four) / 1e9
        off = []
        if row.paper_macs and abs(ours / row.paper_macs - 1) > 0.03:
            off.append(f"{ours / row.paper_macs - 1:+.0%} to the paper")
        if code and abs(four / 1e9 / code - 1) > 0.03:
            off.append(f"{four / 1e9 / code - 1:+.0%} to the published code")
        if off:
            reason = f"- {row.title} ({', '.join(off)}): {row.why or 'not explained'}."
            reasons.append(textwrap.fill(reason, 140, subsequent_indent="  "))
        paper = f"{row.paper_parameters:g} M" if row.paper_parameters else ""
        yield (
            f"| {row.title} | {sample_rate // 1000} kHz | {parameters:,} | {paper} "
            f"| {one / 1e9:.2f} G | {four / 1e9:.2f} G "
            f"| {f'{row.paper_macs:.2f} G' if row.paper_macs else ''} "
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
