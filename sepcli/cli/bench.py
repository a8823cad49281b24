"""`sepcli bench`: how fast models run on this machine."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sepcli.cli import console, options
from sepcli.cli.plots import drawn, require_plot
from sepcli.errors import SepcliError, UsageError
from sepcli.models.entry import LONGEST_CHUNK_SECONDS
from sepcli.models.registry import DEFAULT_MODEL, find_entry, load_entries

if TYPE_CHECKING:
    from sepcli.evaluation.benchmark import Result


def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Names, model folders, hf:ORG/REPO, or training recipes (.toml).",
            show_default=False,
        ),
    ] = None,
    everything: options.Everything = False,
    chunk: Annotated[
        list[float] | None,
        typer.Option(
            metavar="SECONDS",
            help="Length of a chunk (with --against: recording), repeatable. Default: 4 (30).",
        ),
    ] = None,
    batch_size: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="Chunks run at once; may be repeated. Default: 1.", min=1),
    ] = None,
    runs: Annotated[int, typer.Option(help="Timed runs of each setting.", min=1)] = 5,
    threads: Annotated[int, typer.Option(help="Processor threads; 0: torch's default.", min=0)] = 0,
    device: options.Device = "auto",
    precision: options.ProductPrecision = "fp32",
    against: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Time this command against `sepcli separate`; {input} and {output} are filled in.",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Plot score over operations (png, svg, pdf).")
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per setting, not a table.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure speed and memory of models, each setting in a process of its own.

    Models whose weights are not here run with random ones, which take as long.
    """
    console.configure(quiet=quiet)
    if models and everything:
        raise UsageError("--all and names of models exclude each other", "give one of them")
    names = list(load_entries()) if everything else models or [DEFAULT_MODEL]
    if any(not 0 < length <= LONGEST_CHUNK_SECONDS for length in chunk or []):
        raise UsageError("a chunk must be longer than 0 s and a day at most", "give --chunk 4")
    if plot is not None:
        require_plot(plot, overwrite=overwrite)
    if against is not None:
        if not against.strip():
            raise UsageError("--against names no command", "set it, or leave --against out")
        if threads or batch_size or plot is not None:
            hint = "set OMP_NUM_THREADS for both commands; leave out --batch-size and --plot"
            raise UsageError("--against times whole commands, as they are", hint)
        how = ["-d", device, "--precision", precision]
        _against(names, how, against, runs, chunk or [30.0], as_json=as_json)
        return
    from sepcli.evaluation.benchmark import Setting

    settings = [
        Setting(
            model=name,
            device=device,
            precision=precision,
            chunk_seconds=seconds,
            batch_size=size,
            runs=runs,
            threads=threads,
        )
        for name in names
        for seconds in chunk or [4.0]
        for size in batch_size or [1]
    ]
    results, num_failed = _measure_all(settings, as_json=as_json)
    if results and not as_json:
        console.show(_table(results))
        if any(result.random_weights for result in results):
            console.note("random weights where a model was not downloaded")
    if plot is not None:
        draw(plot, results)
    if num_failed:
        raise typer.Exit(1)


def _measure_all(settings: "list[Any]", *, as_json: bool) -> "tuple[list[Result], int]":
    """Return what was measured, and how many settings failed; tells of each as it goes."""
    from sepcli.evaluation.benchmark import run

    results = []
    with console.progress("measuring", total=len(settings), unit="items") as bar:
        for setting in settings:
            bar.update(description=f"measuring {setting.model}")
            try:
                results.append(run(setting))
            except SepcliError as failure:
                console.error(failure)
            else:
                if as_json:
                    console.result_json(asdict(results[-1]))
            bar.advance()
    return results, len(settings) - len(results)


def _table(results: "list[Result]") -> Any:
    from statistics import median

    from rich.table import Table

    first = results[0]
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        caption_justify="left",
        caption=f"{first.device}, {first.threads} threads, {first.precision}; "
        f"matrix product {median(r.product_gflops for r in results):.0f} GFLOP/s",
    )
    table.add_column("model", no_wrap=True)
    titles = ["chunk", "batch", "load", "time", "RTF", "GMAC/s", "GFLOP/s", "share", "peak"]
    lower = any(_price(result) for result in results)
    for title in titles + ["speed-up", "to fp32"] * lower:
        table.add_column(title, justify="right", no_wrap=True)
    for result in results:
        table.add_row(
            result.model,
            f"{result.chunk_seconds:g} s",
            str(result.batch_size),
            f"{result.load_seconds:.2f} s",
            f"{result.seconds:.3f} s",
            f"{result.real_time_factor:.3f}",
            f"{result.macs_per_second / 1e9:.2f}",
            f"{result.gflops:.0f}",
            f"{100 * result.share:.0f} %",
            "-" if result.peak_bytes is None else f"{result.peak_bytes / 1e6:.0f} MB",
            *(_price(result) if lower else []),
        )
    return table


def _price(result: "Result") -> list[str]:
    """Return what a lower precision gains over fp32 and what it costs; empty for fp32."""
    if result.times_fp32 is None or result.si_sdr_to_fp32_db is None:
        return []
    return [f"{result.times_fp32:.2f} ×", f"{result.si_sdr_to_fp32_db:.1f} dB"]


def _against(
    names: list[str],
    how: list[str],
    other: str,
    runs: int,
    lengths: list[float],
    *,
    as_json: bool,
) -> None:
    """Time `sepcli separate` and another command by turns, and tell the ratio of medians."""
    from statistics import median

    from sepcli.evaluation.contest import PYTHON, compare

    if len(names) > 1:
        raise UsageError("--against takes one model", "name one")
    command = [*PYTHON, "-m", "sepcli", "separate", "{input}", "-o", "{output}", "-q"]
    command += ["-m", names[0], *how]
    for seconds in lengths:
        times = compare(command, other, runs, seconds)
        medians = {name: median(values) for name, values in times.items()}
        ratio = medians["other"] / medians["sepcli"]
        if as_json:
            known = {"model": names[0], "seconds": seconds, "command": other, "times": times}
            console.result_json(known | {"medians": medians, "ratio": ratio})
            continue
        console.result(
            f"{seconds:g} s of audio: sepcli {medians['sepcli']:.2f} s, other "
            f"{medians['other']:.2f} s, sepcli is {ratio:.2f} times as fast "
            f"(medians of {runs} runs of whole commands, by turns)"
        )


def draw(path: Path, results: "list[Result]") -> None:
    """Draw the published score of each model over its operations, one colour a test set."""
    points: dict[str, list[tuple[float, float, str]]] = {}
    known = load_entries()
    for result in {result.model: result for result in results}.values():
        entry = find_entry(result.model) if result.model in known else None
        for test_set, score in list(entry.scores.items())[:1] if entry else []:
            points.setdefault(test_set, []).append(
                (result.macs_per_second / 1e9, score, result.model)
            )
    if not points:
        console.warn(f"nothing to draw, no model has a published score: {path}")
        return
    with drawn(path, 8, 5) as axes:
        for test_set, found in sorted(points.items()):
            costs, scores, _ = zip(*found, strict=True)
            axes.scatter(costs, scores, label=test_set)
            for cost, score, name in found:
                axes.annotate(
                    name, (cost, score), fontsize=7, xytext=(4, 3), textcoords="offset points"
                )
        axes.set_xscale("log")
        axes.set_xlabel("G multiply-accumulates per second of audio")
        axes.set_ylabel("published score (dB)")
        axes.legend(fontsize=8)
