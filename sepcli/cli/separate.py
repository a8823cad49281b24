"""`sepcli separate`: recordings in, one file per speaker out."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import typer

from sepcli.cli import console, options
from sepcli.cli.parsing import parse_people, parse_rate, parse_span
from sepcli.errors import UsageError
from sepcli.models.registry import DEFAULT_MODEL, ModelEntry, chosen_model
from sepcli.separation.jobs import Failure, Job, Span, parse_shard, plan_jobs, take_shard
from sepcli.separation.naming import CHANNELS_NAME, DEFAULT_NAME, Naming, check_template

NUM_CHANNELS_OF_A_CALL = 2
OPTIONS_OF_A_NETWORK = (
    *("model", "revision", "chunk", "overlap", "level", "leakage", "speakers", "outside_overlap"),
    *(
        "bandwidth",
        "labels",
        "segments",
        "layout",
        "voices",
        "batch_size",
        "device",
        "precision",
        "resume",
    ),
)


def separate(
    context: typer.Context,
    inputs: options.Inputs = None,
    model: options.Model = "",
    revision: options.Revision = "",
    output_dir: options.OutputDir = Path("separated"),
    recursive: options.Recursive = False,
    name: options.Name = DEFAULT_NAME,
    layout: options.OutputLayout = options.Layout.files,
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
    segments: options.Segments = None,
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
    rate, span, people = parse_rate(sample_rate), parse_span(start, end), parse_people(speakers)
    name = _template(name, layout)
    _check_choices(shard, skip_existing=skip_existing, overwrite=overwrite)
    if channels:
        _check_channels(context, sample_rate)
    _check_format(audio_format, subtype, rate)
    _check_inputs(inputs, manifest, span, labels)
    _check_segments(segments, manifest)

    from sepcli.cli.report import Report, load_separator, suggest_model
    from sepcli.models.resolve import resolve_model
    from sepcli.separation.separator import SeparationOptions
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
        layout=layout.value,
        segments=segments,
    )
    model = model or chosen_model()
    entry = resolve_model(model or DEFAULT_MODEL, revision=revision or None)
    naming = _naming(
        output_dir, audio_format, name, labels or (), None if channels else entry, people
    )
    naming = replace(naming, segments=segments)
    if layout is options.Layout.channels:
        _check_format(audio_format, subtype, rate, naming.num_speakers)
    found = _plan(
        inputs or (), manifest, naming, span=span, recursive=recursive, overwrite=overwrite
    )
    jobs, failures = _take_part(*found, shard)
    report = Report(as_json=as_json, num_jobs=len(jobs) + len(failures), in_rows=bool(manifest))
    for failure in failures:
        report.failed(failure.label, failure.error)
    if jobs and channels:
        report.run_channels(jobs, output)
    elif jobs:
        if not model:
            suggest_model(entry, jobs[0])
        report.run(load_separator(entry, separation), jobs, output)
    raise typer.Exit(report.finish())


def _template(name: str, layout: options.Layout) -> str:
    """Return what outputs are called: a file a speaker, or one for all."""
    is_one_file = layout is options.Layout.channels
    template = CHANNELS_NAME if is_one_file and name == DEFAULT_NAME else name
    check_template(template, is_one_file=is_one_file)
    return template


def _check_choices(shard: str, *, skip_existing: bool, overwrite: bool) -> None:
    """Refuse what makes no sense, whatever the recordings are."""
    if skip_existing and overwrite:
        raise UsageError("--skip-existing and --overwrite exclude each other", "give one of them")
    if shard:
        parse_shard(shard)


def _check_channels(context: typer.Context, sample_rate: str) -> None:
    """Refuse options that `--channels` has no use for, also where they say what is usual."""
    given = [
        "--" + name.replace("_", "-")
        for name in OPTIONS_OF_A_NETWORK
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    ]
    if given:
        raise UsageError(
            f"--channels uses no network and takes no: {', '.join(given)}", "leave out either"
        )
    if sample_rate == "model":
        raise UsageError("--channels takes no model", "leave out --sample-rate model")


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


def _check_segments(folder: Path | None, manifest: Path | None) -> None:
    """Refuse to add the lines of segments to a manifest while it is read."""
    from sepcli.separation.segments import MANIFEST_NAME

    if folder is not None and manifest is not None:
        written = folder / MANIFEST_NAME
        if written.resolve() == manifest.resolve():
            raise UsageError(
                f"--segments would write to the manifest that is read: {written}",
                "choose another folder for --segments",
            )


def _naming(
    folder: Path,
    audio_format: options.Format,
    template: str,
    labels: Collection[options.LabelFormat],
    entry: ModelEntry | None,
    people: int | Literal["auto"] | None,
) -> Naming:
    """Return how outputs are named: those of a model, or of channels as they are."""
    from sepcli.separation.labels import WRITERS
    from sepcli.separation.speakers import MOST_PEOPLE

    naming = Naming(folder=folder, extension=audio_format.value, template=template)
    if entry is None:
        return replace(naming, model="channels", num_speakers=NUM_CHANNELS_OF_A_CALL)
    return replace(
        naming,
        model=_file_name(entry.name),
        num_speakers=MOST_PEOPLE if people == "auto" else people or entry.speakers,
        num_certain=1 if people == "auto" else None,
        labels=tuple(WRITERS[label.value][0] for label in dict.fromkeys(labels)),
    )


def _plan(
    inputs: Sequence[str],
    manifest: Path | None,
    naming: Naming,
    *,
    span: Span,
    recursive: bool,
    overwrite: bool,
) -> tuple[list[Job], list[Failure]]:
    """Return the jobs of files, folders and `-`, or of a manifest, and what has none."""
    if manifest is not None:
        return _plan_manifest(manifest, naming, overwrite)
    jobs, failures = plan_jobs(
        inputs, naming, recursive=recursive, overwrite=overwrite, on_skip=_tell_skipped
    )
    return [replace(job, span=span) for job in jobs], failures


def _take_part(
    jobs: list[Job], failures: list[Failure], shard: str
) -> tuple[list[Job], list[Failure]]:
    """Return what belongs to a shard, and say how much that is; without one, all."""
    if not shard:
        return jobs, failures
    index, count = parse_shard(shard)
    mine, wrong = take_shard(jobs, index, count), take_shard(failures, index, count)
    num_mine, num_found = len(mine) + len(wrong), len(jobs) + len(failures)
    console.note(f"shard {index}/{count}: {num_mine} of {num_found} recordings")
    return mine, wrong


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
    audio_format: options.Format,
    subtype: str,
    rate: Literal["input", "model"] | int,
    num_channels: int = 1,
) -> None:
    """Refuse what the format cannot hold, before anything is computed."""
    from sepcli.audio import check_output_format

    rate_hz = rate if isinstance(rate, int) else None
    check_output_format(audio_format.value, subtype or None, rate_hz, num_channels)
