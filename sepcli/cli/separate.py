"""`sepcli separate`: recordings in, one file per speaker out."""

import math
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Literal

import typer

from sepcli.cli import console, options
from sepcli.errors import UsageError
from sepcli.models.registry import DEFAULT_MODEL, chosen_model
from sepcli.separation.jobs import Failure, Job, Span, parse_shard, plan_jobs, take_shard
from sepcli.separation.naming import DEFAULT_NAME, Naming, check_template

NUM_CHANNELS_OF_A_CALL = 2


def separate(
    inputs: options.Inputs = None,
    model: options.Model = "",
    revision: options.Revision = "",
    output_dir: options.OutputDir = Path("separated"),
    recursive: options.Recursive = False,
    name: options.Name = DEFAULT_NAME,
    audio_format: options.OutputFormat = options.Format.wav,
    subtype: options.Subtype = "",
    sample_rate: options.SampleRate = "input",
    start: options.Start = "",
    end: options.End = "",
    track: options.Track = None,
    channels: options.Channels = False,
    manifest: options.Manifest = None,
    chunk: options.Chunk = None,
    overlap: options.Overlap = None,
    level: options.LevelFrom = None,
    leakage: options.OfLeakage = options.Leakage.keep,
    speakers: options.Speakers = "",
    outside_overlap: options.OutsideOverlaps = options.OutsideOverlap.original,
    bandwidth: options.UpTo = options.Bandwidth.full,
    labels: options.WrittenLabels = None,
    voices: options.Voices = "builtin",
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
    precision: options.ProductPrecision = options.Precision.fp32,
    shard: options.Shard = "",
    skip_existing: options.SkipExisting = False,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    as_json: options.JsonRecords = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Separate recordings into one file per speaker.

    Writes DIR/<stem>_spk1.wav, _spk2.wav, … with the recording's own length and sample rate,
    and prints their paths.
    """
    console.configure(quiet=quiet, verbose=verbose)
    if skip_existing and overwrite:
        raise UsageError("--skip-existing and --overwrite exclude each other", "give one of them")
    if channels and (model or sample_rate == "model"):
        raise UsageError("--channels takes no model", "leave out --model and --sample-rate model")
    check_template(name)
    part = parse_shard(shard) if shard else (1, 1)
    rate = _parse_rate(sample_rate)
    _check_format(audio_format, subtype, rate)
    span = _parse_span(start, end)
    _check_inputs(inputs, manifest, span, labels)
    people = _parse_people(speakers)

    from sepcli.cli.report import Report, load_separator, suggest_model
    from sepcli.models.resolve import resolve_model
    from sepcli.separation.labels import WRITERS
    from sepcli.separation.separator import SeparationOptions
    from sepcli.separation.speakers import MOST_PEOPLE
    from sepcli.separation.writing import OutputOptions

    separation = SeparationOptions(
        device=device,
        precision=precision.value,
        chunk_seconds=chunk,
        overlap_seconds=overlap,
        batch_size=batch_size,
        level=level.value if level is not None else None,
        leakage=leakage.value,
        voices=voices,
        people=people,
        outside_overlap=outside_overlap.value,
        bandwidth=bandwidth.value,
    )
    output = OutputOptions(
        format=audio_format.value,
        subtype=subtype or None,
        sample_rate=rate,
        track=track,
        overwrite=overwrite,
        skip_existing=skip_existing,
        resume=resume,
    )
    model = model or chosen_model()
    entry = resolve_model(model or DEFAULT_MODEL, revision=revision or None)
    num_files = MOST_PEOPLE if people == "auto" else people or entry.speakers
    naming = Naming(
        folder=output_dir,
        extension=audio_format.value,
        template=name,
        model="channels" if channels else _file_name(entry.name),
        num_speakers=NUM_CHANNELS_OF_A_CALL if channels else num_files,
        num_certain=1 if people == "auto" and not channels else None,
        labels=tuple(WRITERS[label.value][0] for label in dict.fromkeys(labels or ())),
    )
    if manifest is not None:
        jobs, failures = _plan_manifest(manifest, naming, overwrite)
    else:
        jobs, failures = plan_jobs(
            inputs or (), naming, recursive=recursive, overwrite=overwrite, on_skip=_tell_skipped
        )
        jobs = [replace(job, span=span) for job in jobs]
    num_found = len(jobs) + len(failures)
    jobs, failures = take_shard(jobs, *part), take_shard(failures, *part)
    num_jobs = len(jobs) + len(failures)
    if shard:
        console.note(f"shard {shard}: {num_jobs} of {num_found} recordings")
    report = Report(as_json=as_json, num_jobs=num_jobs, in_rows=manifest is not None)
    for failure in failures:
        report.failed(failure.label, failure.error)
    if jobs and channels:
        report.run_channels(jobs, output)
    elif jobs:
        if not model:
            suggest_model(entry, jobs[0])
        separator = load_separator(entry, separation)
        report.run(separator, jobs, output)
    raise typer.Exit(report.finish())


def _check_inputs(
    inputs: list[str] | None, manifest: Path | None, span: Span, labels: Collection[object] | None
) -> None:
    """Refuse a run without recordings, or with options that a manifest has no place for."""
    if inputs is None and manifest is None:
        raise UsageError("missing argument 'INPUT...'", "see: sepcli separate --help")
    if manifest is not None and inputs is not None:
        raise UsageError("--manifest and INPUT exclude each other", "give one of them")
    if manifest is not None and span != (None, None):
        raise UsageError(
            "--manifest and --start or --end exclude each other",
            "give its rows an offset and a duration",
        )
    if manifest is not None and labels:
        raise UsageError("--manifest and --labels exclude each other", "give one of them")


def _plan_manifest(
    manifest: Path, naming: Naming, overwrite: bool
) -> tuple[list[Job], list[Failure]]:
    """Return the jobs of a manifest, and its lines that are wrong or cannot be done.

    Raises:
        UsageError: It has no line.
    """
    from sepcli.separation.manifest import plan_rows, read_manifest

    text = manifest.read_bytes().decode("utf-8-sig", "surrogateescape")
    rows, wrong = read_manifest(text, manifest)
    if not rows and not wrong:
        raise UsageError(f"manifest is empty: {manifest}", f"look into it: head {manifest}")
    jobs, refused = plan_rows(rows, naming, overwrite=overwrite, also_read=[manifest])
    return jobs, wrong + refused


def _file_name(model: str) -> str:
    """Return a model's name as it can stand in a file name."""
    return Path(model).name.replace(":", "-")


def _tell_skipped(path: Path, reason: str) -> None:
    console.note(f"skipped, {reason}: {path}")


def _check_format(
    audio_format: options.Format, subtype: str, rate: Literal["input", "model"] | int
) -> None:
    """Refuse what the format cannot hold, before anything is computed."""
    from sepcli.audio import check_output_format

    rate_hz = rate if isinstance(rate, int) else None
    check_output_format(audio_format.value, subtype or None, rate_hz)


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


def _parse_people(text: str) -> int | Literal["auto"] | None:
    """Return how many people speak; None where it is left to the model.

    Raises:
        UsageError: It is no number of people.
    """
    if text == "auto":
        return "auto"
    if not text:
        return None
    from sepcli.separation.speakers import MOST_PEOPLE

    if text.isdecimal() and 1 <= int(text) <= MOST_PEOPLE:
        return int(text)
    raise UsageError(
        f"not a number of speakers: {text}", f"use auto, or a number from 1 to {MOST_PEOPLE}"
    )


def _parse_span(start: str, end: str) -> tuple[float | None, float | None]:
    """Return where to begin and to stop [s]; None for the recording's own ends.

    Raises:
        UsageError: One is not a time, or they are not in order.
    """
    begin, stop = _parse_time(start), _parse_time(end)
    if stop is not None and (begin or 0.0) >= stop:
        raise UsageError(f"--end is not after --start: {end}", "give a later --end")
    return begin, stop


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
