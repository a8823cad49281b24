"""`sepcli evaluate`: how close estimates come to their references."""

import csv
import io
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sepcli.cli import console, options
from sepcli.cli.choices import refuse_given
from sepcli.cli.plots import drawn, require_plot
from sepcli.errors import AudioError, SepcliError, UsageError
from sepcli.files import refuse_replacing, refuse_taken, write_whole

if TYPE_CHECKING:
    import numpy as np

    from sepcli.evaluation.dataset import Item
    from sepcli.evaluation.score import Average, Scores, Tally

    Waveforms = np.ndarray[Any, np.dtype[np.float32]]
    # the item, its mixture if any, its rate -> estimates
    Estimator = Callable[["Item", "Waveforms | None", int], Waveforms]

TITLES = {
    "si_sdr": "SI-SDR (dB)",
    "si_sdri": "SI-SDRi (dB)",
    "sdr": "SDR (dB)",
    "sdri": "SDRi (dB)",
    "stoi": "STOI",
    "pesq": "PESQ",
}


@dataclass(frozen=True)
class Judged:
    """One recording: its scores, or why there are none."""

    name: str
    seconds: float = 0.0
    elapsed_seconds: float = 0.0
    scores: "Scores | None" = None
    error: str = ""
    hint: str = ""


def evaluate(
    context: typer.Context,
    data: Annotated[
        Path,
        typer.Argument(help="Test set: a folder with s1, s2, … and mix, mix_clean or mix_both."),
    ],
    model: Annotated[
        str, typer.Option("-m", "--model", metavar=options.MODEL_FORMS, help="Model to score.")
    ] = "",
    estimates: Annotated[
        Path | None,
        typer.Option(help="Folder of estimates to score: NAME_spk1.wav, … or s1/NAME.wav, …"),
    ] = None,
    mixtures: Annotated[
        str, typer.Option(help="Folder of mixtures to use, such as mix_both.")
    ] = "",
    metric: Annotated[
        list[str] | None, typer.Option(help="Further metrics: sdr, stoi, pesq; may be repeated.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Only the first N recordings.", min=1)
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write the scores of every recording.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Plot the distribution of the scores (png, svg, pdf).")
    ] = None,
    overwrite: options.Overwrite = False,
    device: options.Device = "auto",
    precision: options.ProductPrecision = "fp32",
    shifts: options.Shifts = 1,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object per recording, then one with the means."
        ),
    ] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Score a model, or existing estimates, against references.

    Prints the mean of each metric with its 95 % confidence interval. Estimates are matched with
    references by the permutation of highest mean SI-SDR.
    """
    console.configure(quiet=quiet, verbose=verbose)
    if bool(model) == bool(estimates):
        raise UsageError("give either --model or --estimates", "see: sepcli evaluate --help")
    if estimates:
        refuse_given(context, "--estimates", ("device", "precision", "shifts"))
    from sepcli.audio import find_audio_files
    from sepcli.evaluation.dataset import find_items
    from sepcli.evaluation.score import Tally, require_metrics

    extras = list(dict.fromkeys(metric or []))
    require_metrics(extras)
    if csv_file is not None:
        refuse_taken(csv_file, overwrite=overwrite)
    if plot is not None:
        require_plot(plot, overwrite=overwrite)
    items, chosen = find_items(data, mixtures)
    if not chosen and model:
        raise AudioError(f"no mixtures in: {data}", "name their folder with --mixtures")
    if chosen:
        console.note(f"mixtures: {data / chosen}")
    kept = _files(estimates) if estimates else None
    folders = filter(None, (data, estimates))
    inputs = [path for folder in folders for path in find_audio_files(folder, recursive=True)]
    for output in filter(None, (csv_file, plot)):
        refuse_replacing(output, inputs)
    estimator = kept or _separator(model, device=device, precision=precision, shifts=shifts)
    tally, judged = Tally(), []
    with console.progress("evaluating", total=len(items[:limit]), unit="items") as bar:
        for one in judge(items[:limit], estimator, extras):
            judged.append(one)
            _count(one, tally)
            if as_json:
                console.result_json(record(one))
            bar.advance()
    _tell(tally, as_json=as_json)
    if csv_file is not None:
        _write_csv(csv_file, judged)
    if plot is not None:
        draw(plot, tally)
    if tally.failures:
        raise typer.Exit(1)


def judge(items: "list[Item]", estimator: "Estimator", extras: list[str]) -> Iterator[Judged]:
    """Yield what became of each recording."""
    for item in items:
        try:
            yield _judge_one(item, estimator, extras)
        except SepcliError as failure:
            yield Judged(item.name, error=failure.message, hint=failure.hint)


def _judge_one(item: "Item", estimator: "Estimator", extras: list[str]) -> Judged:
    from sepcli.evaluation.dataset import read_item
    from sepcli.evaluation.score import score

    waveforms, rate, differed = read_item(item)
    references = waveforms[: len(item.references)]
    mixture = waveforms[-1] if item.mixture else None
    start = time.perf_counter()
    estimates = estimator(item, mixture, rate)
    elapsed = time.perf_counter() - start
    num_samples = min(estimates.shape[1], references.shape[1])
    differed = differed or estimates.shape[1] != references.shape[1]
    cut = None if mixture is None else mixture[:num_samples]
    found = score(estimates[:, :num_samples], references[:, :num_samples], cut, rate, extras)
    if differed:
        found = replace(found, remarks=(*found.remarks, "lengths differ, cut to the shortest"))
    return Judged(item.name, references.shape[1] / rate, elapsed, found)


def _separator(model: str, **how: Any) -> "Estimator":
    """Return what separates the mixture of a recording; `how` are `SeparationOptions`."""
    from sepcli.cli.loading import load_separator
    from sepcli.models.resolve import resolve_model
    from sepcli.separation.separator import SeparationOptions

    separator = load_separator(resolve_model(model), SeparationOptions(**how))

    def separate(item: "Item", mixture: "Waveforms | None", rate: int) -> "Waveforms":
        assert mixture is not None
        return separator.separate(mixture, rate).estimates

    return separate


def _files(folder: Path) -> "Estimator":
    """Return what reads the estimates of a recording."""
    from sepcli.evaluation.dataset import find_estimates, index_files, read

    if not folder.is_dir():
        raise AudioError(f"no such folder: {folder}", "give the folder that holds the estimates")

    files = index_files(folder)

    def find(item: "Item", mixture: "Waveforms | None", rate: int) -> "Waveforms":
        found = find_estimates(files, item.name)
        if not found:
            raise AudioError("no estimates", "call them NAME_spk1.wav, … or s1/NAME.wav, …")
        waveforms, own_rate, _ = read(found)
        if own_rate != rate:
            raise AudioError(
                f"estimates at {own_rate} Hz, references at {rate} Hz",
                f"separate again with --sample-rate {rate}",
            )
        return waveforms

    return find


def _count(one: Judged, tally: "Tally") -> None:
    if one.scores is not None:
        tally.add(one.scores)
        return
    tally.failures[one.error] += 1
    console.error(SepcliError(f"{one.name}: {one.error}", one.hint))


def record(one: Judged) -> dict[str, Any]:
    """Return what `--json` prints about a recording; JSON knows neither nan nor infinity."""
    if one.scores is None:
        return {"name": one.name, "error": one.error, "hint": one.hint}
    values = {
        name: [value if math.isfinite(value) else None for value in row]
        for name, row in one.scores.values.items()
    }
    return {
        "name": one.name,
        "seconds": round(one.seconds, 3),
        "elapsed_seconds": round(one.elapsed_seconds, 3),
        "order": list(one.scores.order),
        **values,
        "remarks": list(one.scores.remarks),
    }


def _tell(tally: "Tally", *, as_json: bool) -> None:
    """Print the means, and say what was left out of them."""
    averages = tally.averages()
    if as_json:
        known = {
            name: {key: value for key, value in asdict(found).items() if math.isfinite(value)}
            for name, found in averages.items()
        }
        left_out = {"failures": dict(tally.failures), "remarks": dict(tally.remarks)}
        console.result_json({"summary": known, "recordings": len(tally.scores), **left_out})
    elif averages:
        console.show(_table(averages))
    for remark, count in sorted(tally.remarks.items()):
        console.warn(f"{count} recording{'s' if count > 1 else ''} with {remark}")
    if tally.failures:
        total = len(tally.scores) + tally.failures.total()
        console.note(f"{tally.failures.total()} of {total} recordings not scored")


def _table(averages: "dict[str, Average]") -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("metric", no_wrap=True)
    for title in ("mean", "95 %", "median", "lowest", "highest", "recordings"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, found in averages.items():
        values = [found.mean, found.median, found.lowest, found.highest]
        mean, *others = [f"{value:.2f}" for value in values]
        margin = "" if math.isnan(found.margin) else f"± {found.margin:.2f}"
        table.add_row(TITLES[name], mean, margin, *others, str(found.count))
    return table


def _write_csv(path: Path, judged: list[Judged]) -> None:
    """Write one line per recording and reference."""
    names = dict.fromkeys(name for one in judged if one.scores for name in one.scores.values)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["name", "reference", "estimate", *names, "remarks", "error"])
    for one in judged:
        if one.scores is None:
            writer.writerow([one.name, "", "", *("" for _ in names), "", one.error])
            continue
        remarks = "; ".join(one.scores.remarks)
        for place, matched in enumerate(one.scores.order):
            row = [f"{one.scores.values[name][place]:.6g}" for name in names]
            writer.writerow([one.name, place + 1, matched + 1, *row, remarks, ""])
    write_whole(path, table.getvalue().encode("utf-8", "surrogateescape"))


def draw(path: Path, tally: "Tally") -> None:
    """Draw the distribution of the main metric over recordings."""
    averages = tally.averages()
    name = "si_sdri" if "si_sdri" in averages else "si_sdr"
    values = [mean for each in tally.scores if math.isfinite(mean := each.mean(name))]
    if not values:
        console.warn(f"nothing to draw, no recording has a score: {path}")
        return
    with drawn(path, 7, 4) as axes:
        axes.hist(values, bins=min(50, max(5, round(math.sqrt(len(values))))), color="#4477aa")
        mean, margin = averages[name].mean, averages[name].margin
        label = f"mean {mean:.2f}" + ("" if math.isnan(margin) else f" ± {margin:.2f}")
        axes.axvline(mean, color="#cc3311", label=label)
        axes.set_xlabel(f"{TITLES[name]}, mean over the speakers of a recording")
        axes.set_ylabel("recordings")
        axes.legend()
