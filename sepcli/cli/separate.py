"""`sepcli separate`: recordings in, one file per speaker out."""

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from sepcli import console
from sepcli.errors import UsageError
from sepcli.outputs import (
    DEFAULT_NAME,
    Naming,
    check_template,
    parse_shard,
    plan_jobs,
    take_shard,
)
from sepcli.registry import DEFAULT_MODEL, complete_model


class Format(StrEnum):
    """File formats an estimate can be written in."""

    wav = "wav"
    flac = "flac"
    ogg = "ogg"
    mp3 = "mp3"


class Precision(StrEnum):
    """Number formats of matrix products."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Level(StrEnum):
    """What sets the level of an estimate."""

    fit = "fit"
    as_is = "as-is"


class Leakage(StrEnum):
    """What becomes of faint copies of who speaks in the files of who is silent."""

    keep = "keep"
    remove = "remove"


def separate(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Files, folders, or - for a WAV on stdin."),
    ],
    model: Annotated[
        str,
        typer.Option(
            "-m",
            "--model",
            metavar="NAME|FOLDER|hf:ORG/REPO",
            help="The separator to use; see: sepcli info. Default: the best one in the package.",
            autocompletion=complete_model,
        ),
    ] = "",
    revision: Annotated[
        str, typer.Option(help="Commit, tag or branch of the model's repository.")
    ] = "",
    output_dir: Annotated[
        Path, typer.Option("-o", "--output-dir", help="Where outputs go.")
    ] = Path("separated"),
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Search folders to any depth.")
    ] = False,
    name: Annotated[
        str,
        typer.Option(help="Output name without ending; fields: {stem}, {ext}, {model}, {speaker}."),
    ] = DEFAULT_NAME,
    audio_format: Annotated[
        Format, typer.Option("--format", help="Format of the outputs.")
    ] = Format.wav,
    subtype: Annotated[
        str,
        typer.Option(
            metavar="PCM_16|PCM_24|FLOAT", help="Sample type; default: the format's usual one."
        ),
    ] = "",
    sample_rate: Annotated[
        str,
        typer.Option(metavar="input|model|HZ", help="Sample rate of the outputs."),
    ] = "input",
    start: Annotated[
        str, typer.Option(metavar="TIME", help="Begin here: seconds or h:mm:ss.")
    ] = "",
    end: Annotated[str, typer.Option(metavar="TIME", help="Stop here: seconds or h:mm:ss.")] = "",
    chunk: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Length of a chunk; default: the model's.", min=0.1),
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Overlap of chunks; default: the model's.", min=0.0),
    ] = None,
    level: Annotated[
        Level | None,
        typer.Option(help="fit: levels that explain the mixture; as-is: the network's own."),
    ] = None,
    leakage: Annotated[
        Leakage, typer.Option(help="remove: quieten who is silent; costs a little quality.")
    ] = Leakage.keep,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Chunks run at once.", min=1)
    ] = None,
    device: Annotated[
        str, typer.Option("-d", "--device", metavar="auto|cpu|cuda[:N]|mps", help="Where to run.")
    ] = "auto",
    precision: Annotated[
        Precision, typer.Option(help="bf16 and fp16 are faster and less exact.")
    ] = Precision.fp32,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Do the I-th of N parts, for job arrays.")
    ] = "",
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Skip recordings whose outputs are all there.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that are there.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a long recording that was interrupted.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a recording.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more.")] = False,
) -> None:
    """Separate recordings into one file per speaker.

    Writes DIR/<stem>_spk1.wav, _spk2.wav, … with the recording's own length and sample rate,
    and prints their paths.
    """
    console.configure(quiet=quiet, verbose=verbose)
    if skip_existing and overwrite:
        raise UsageError("--skip-existing and --overwrite exclude each other", "give one of them")
    check_template(name)
    from sepcli.audio import check_output_format

    part = parse_shard(shard) if shard else (1, 1)
    wanted_rate = _parse_rate(sample_rate)
    rate = wanted_rate if isinstance(wanted_rate, int) else None
    check_output_format(audio_format.value, subtype or None, rate)
    start_seconds, end_seconds = _parse_time(start), _parse_time(end)
    if end_seconds is not None and (start_seconds or 0.0) >= end_seconds:
        raise UsageError(f"--end is not after --start: {end}", "give a later --end")

    from sepcli import weights  # from here on torch is needed
    from sepcli.cli.report import Report, load_separator
    from sepcli.delivery import OutputOptions
    from sepcli.pipeline import SeparationOptions

    separation = SeparationOptions(
        device=device,
        precision=precision.value,
        chunk_seconds=chunk,
        overlap_seconds=overlap,
        batch_size=batch_size,
        level=level.value if level is not None else None,
        leakage=leakage.value,
    )
    output = OutputOptions(
        format=audio_format.value,
        subtype=subtype or None,
        sample_rate=wanted_rate,
        start_seconds=start_seconds,
        end_seconds=end_seconds,
        overwrite=overwrite,
        skip_existing=skip_existing,
        resume=resume,
    )
    entry = weights.resolve_model(model or DEFAULT_MODEL, revision=revision or None)
    naming = Naming(
        folder=output_dir,
        extension=audio_format.value,
        template=name,
        model=_file_name(entry.name),
        num_speakers=entry.speakers,
    )
    jobs, failures = plan_jobs(inputs, naming, recursive=recursive, on_skip=_tell_skipped)
    jobs = take_shard(jobs, *part)
    report = Report(as_json=as_json, num_jobs=len(jobs) + len(failures))
    for failure in failures:
        report.failed(failure.label, failure.error)
    if jobs:
        separator = load_separator(entry, separation, is_default=not model)
        report.run(separator, jobs, output)
    raise typer.Exit(report.finish())


def _file_name(model: str) -> str:
    """Return a model's name as it can stand in a file name."""
    return Path(model).name.replace(":", "-")


def _tell_skipped(path: Path, reason: str) -> None:
    console.note(f"skipped, {reason}: {path}")


def _parse_rate(text: str) -> Literal["input", "model"] | int:
    """Return `input`, `model`, or a sample rate [Hz].

    Raises:
        UsageError: It is none of them.
    """
    if text == "input":
        return "input"
    if text == "model":
        return "model"
    if text.isdecimal() and 1000 <= int(text) <= 768_000:
        return int(text)
    raise UsageError(f"not a sample rate: {text}", "use input, model, or 1000 to 768000 Hz")


def _parse_time(text: str) -> float | None:
    """Return seconds from `12.5`, `3:20` or `1:02:03.5`; None for an empty text.

    Raises:
        UsageError: It is not a time.
    """
    if not text:
        return None
    seconds = 0.0
    try:
        for part in text.split(":"):
            if not part or part[0] in "+-" or text.count(":") > 2:
                raise ValueError
            seconds = 60 * seconds + float(part)
    except ValueError as cause:
        raise UsageError(
            f"not a time: {text}", "use seconds or h:mm:ss, as in 1:02:03.5"
        ) from cause
    if not math.isfinite(seconds):
        raise UsageError(f"not a time: {text}", "use seconds or h:mm:ss, as in 1:02:03.5")
    return seconds
