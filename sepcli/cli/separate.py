"""`sepcli separate`: recordings in, one file per speaker out."""

import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sepcli.cli import console, options
from sepcli.cli.choices import (
    check_channels,
    check_existing,
    check_format,
    check_inputs,
    check_segments,
    known_voices,
    name_template,
)
from sepcli.cli.parsing import parse_people, parse_rate, parse_shard, parse_span
from sepcli.errors import ModelError, UsageError
from sepcli.files import real_path
from sepcli.models.entry import ModelEntry
from sepcli.models.registry import DEFAULT_MODEL, chosen_model
from sepcli.separation.inputs import plan_jobs
from sepcli.separation.jobs import STDIN, Failure, Job, Span, take_shard
from sepcli.separation.naming import DEFAULT_NAME, Naming

if TYPE_CHECKING:  # it needs torch
    from sepcli.separation.plan import SeparationOptions

NUM_CHANNELS_OF_A_CALL = 2


def separate(
    context: typer.Context,
    inputs: options.Inputs = None,
    model: options.Model = "",
    revision: options.Revision = "",
    output_dir: options.OutputDir = Path("separated"),
    recursive: options.Recursive = False,
    name: options.Name = DEFAULT_NAME,
    layout: options.OutputLayout = "files",
    audio_format: options.OutputFormat = "wav",
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
    leakage: options.OfLeakage = "keep",
    speakers: options.Speakers = "",
    outside_overlap: options.OutsideOverlaps = "original",
    bandwidth: options.UpTo = "full",
    labels: options.WrittenLabels = None,
    segments: options.Segments = None,
    report: options.ReportPage = None,
    voice: options.KnownVoices = None,
    only: options.Only = None,
    voices: options.Voices = "builtin",
    shifts: options.Shifts = 1,
    batch_size: options.BatchSize = None,
    device: options.Devices = "auto",
    precision: options.ProductPrecision = "fp32",
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
    name = name_template(name, layout, only)
    check_existing(skip_existing=skip_existing, overwrite=overwrite)
    part = parse_shard(shard)
    check_channels(context, sample_rate)
    check_format(audio_format, subtype, rate)
    check_inputs(inputs, manifest, span, labels, resume=resume)
    check_segments(segments, manifest)
    known = known_voices(voice or (), only, name)

    from sepcli.cli.loading import separation_with
    from sepcli.cli.pages import open_page
    from sepcli.cli.report import Report, suggest_model
    from sepcli.separation.separator import SeparationOptions
    from sepcli.separation.writing import OutputOptions

    separation = SeparationOptions(
        device=device,
        precision=precision,
        chunk_seconds=chunk,
        overlap_seconds=overlap,
        batch_size=batch_size,
        shifts=shifts,
        level=level,
        leakage=leakage,
        voices=voices,
        people=people,
        outside_overlap=outside_overlap,
        bandwidth=bandwidth,
        known=known,
        only=only,
    )
    output = OutputOptions(
        format=audio_format,
        subtype=subtype or None,
        sample_rate=rate,
        track=track,
        overwrite=overwrite,
        skip_existing=skip_existing,
        resume=resume,
        layout=layout,
        segments=segments,
        tells_turns=(as_json and manifest is None) or report is not None,
    )
    setting = "" if model or channels else chosen_model()
    model = model or setting
    entry = None if channels else _entry_of(model, revision, setting)
    naming = Naming(folder=output_dir, extension=audio_format, template=name, segments=segments)
    naming = _of_whom(naming, labels or (), entry, separation)
    if layout == "channels":
        check_format(audio_format, subtype, rate, naming.num_speakers if only is None else 1)
    found = _plan(inputs or (), manifest, naming, [*known.values()], span, recursive, overwrite)
    jobs, failures = _take_part(*found, part)
    with open_page(report, jobs, overwrite=overwrite, audio_track=track) as page:
        told = Report(
            as_json=as_json,
            num_jobs=len(jobs) + len(failures),
            in_rows=bool(manifest),
            page=page,
        )
        told.tell_failures(failures)
        if jobs and entry is None:
            told.run_channels(jobs, output)
        elif jobs and entry:
            if not model:
                suggest_model(entry, jobs[0])
            separated, entry = separation_with(
                entry, model or DEFAULT_MODEL, revision, separation, jobs
            )
            told.run(separated, entry, jobs, output)
        raise typer.Exit(told.finish())


def _entry_of(model: str, revision: str, setting: str) -> ModelEntry:
    """Return the entry of a model, by default the usual one.

    Raises:
        ModelError: There is none; says that a setting names it, if one does.
    """
    from sepcli.models.resolve import resolve_model

    try:
        return resolve_model(model or DEFAULT_MODEL, revision=revision)
    except ModelError as error:
        if not setting:
            raise
        raise ModelError(f"SEPCLI_MODEL or config.toml: {error.message}", error.hint) from error


def _of_whom(
    naming: Naming,
    labels: Collection[options.LabelFormat],
    entry: ModelEntry | None,
    separation: "SeparationOptions",
) -> Naming:
    """Return how outputs are named: those of a model, or of channels as they are."""
    from sepcli.separation.labels import WRITERS
    from sepcli.separation.speakers import MOST_PEOPLE

    if entry is None:
        return replace(naming, model="channels", num_speakers=NUM_CHANNELS_OF_A_CALL)
    people = separation.people
    return replace(
        naming,
        model=_file_name(entry.name),
        num_speakers=MOST_PEOPLE if people == "auto" else people or entry.speakers,
        is_counted=people == "auto",
        labels=tuple(WRITERS[label.value][0] for label in dict.fromkeys(labels)),
        names=tuple(separation.known),
        only=separation.only,
    )


def _plan(
    inputs: Sequence[str],
    manifest: Path | None,
    naming: Naming,
    also_read: Sequence[Path],
    span: Span,
    recursive: bool,
    overwrite: bool,
) -> tuple[list[Job], list[Failure]]:
    """Return the jobs of files, folders and `-`, or of a manifest, and what cannot be done.

    Raises:
        UsageError: The manifest has no line.
    """
    if manifest is None:
        return plan_jobs(
            inputs,
            naming,
            recursive=recursive,
            span=span,
            overwrite=overwrite,
            also_read=also_read,
            on_skip=lambda path, reason: console.note(f"skipped, {reason}: {path}"),
        )
    from sepcli.separation.manifest import plan_rows, read_manifest

    if str(manifest) == STDIN:
        if sys.stdin is None or sys.stdin.buffer.isatty():
            raise UsageError(
                "nothing comes in on standard input", "… | sepcli separate --manifest -"
            )
        found, manifest = sys.stdin.buffer.read(), Path("standard input")  # of no folder
    else:
        found, also_read = manifest.read_bytes(), [manifest, *also_read]
    rows, wrong = read_manifest(found.decode("utf-8-sig", "surrogateescape"), manifest)
    if not rows and not wrong:
        raise UsageError(f"manifest is empty: {manifest}", "give a line for each recording")
    jobs, refused = plan_rows(rows, naming, overwrite=overwrite, also_read=also_read)
    return jobs, wrong + refused


def _take_part(
    jobs: list[Job], failures: list[Failure], shard: tuple[int, int] | None
) -> tuple[list[Job], list[Failure]]:
    """Return what belongs to a shard, and say how much that is; without one, all."""
    if shard is None:
        return jobs, failures
    index, count = shard
    mine, wrong = take_shard(jobs, index, count), take_shard(failures, index, count)
    num_mine, num_found = len(mine) + len(wrong), len(jobs) + len(failures)
    console.note(f"shard {index}/{count}: {num_mine} of {num_found} recordings")
    return mine, wrong


def _file_name(model: str) -> str:
    """Return a model's name as it can stand in a file name."""
    path = Path(model)
    name = path.name if path.name not in ("", "..") else real_path(path).name
    return name.replace(":", "-")
