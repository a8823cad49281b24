"""What was chosen on the command line of `separate`: refused where it makes no sense."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import typer

from sepcli.errors import UsageError
from sepcli.files import real_path
from sepcli.separation.choices import Format, Layout
from sepcli.separation.jobs import STDIN, Span
from sepcli.separation.naming import (
    CHANNELS_NAME,
    DEFAULT_NAME,
    check_speaker_names,
    check_template,
)

OPTIONS_OF_A_NETWORK = (
    *("model", "revision", "chunk", "overlap", "level", "leakage", "speakers", "outside_overlap"),
    *("bandwidth", "labels", "segments", "report", "layout", "voice", "only", "voices"),
    *("batch_size", "device", "precision", "resume", "shifts"),
)


def name_template(name: str, layout: Layout, only: str | None) -> str:
    """Return what outputs are called: a file a speaker, or one for all.

    The one file of one person alone is called after them, or it would pass for everybody's.
    """
    is_one_file = layout == "channels" and only is None
    template = CHANNELS_NAME if is_one_file and name == DEFAULT_NAME else name
    check_template(template, is_one_file=is_one_file)
    return template


def check_existing(*, skip_existing: bool, overwrite: bool) -> None:
    """Refuse both ways at once to deal with outputs that are there."""
    if skip_existing and overwrite:
        raise UsageError("--skip-existing and --overwrite exclude each other", "give one of them")


def check_channels(context: typer.Context, sample_rate: str) -> None:
    """Refuse options that `--channels` has no use for, also where they say what is usual."""
    if not context.params["channels"]:
        return
    refuse_given(context, "--channels", OPTIONS_OF_A_NETWORK)
    if sample_rate == "model":
        raise UsageError("--channels takes no model", "leave out --sample-rate model")


def refuse_given(context: typer.Context, cause: str, names: Collection[str]) -> None:
    """Refuse options of a network beside the one that needs none, also where they say the usual."""
    given = [
        "--" + name.replace("_", "-")
        for name in names
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    ]
    if given:
        raise UsageError(
            f"{cause} uses no network and takes no: {', '.join(given)}", "leave out either"
        )


def check_inputs(
    inputs: list[str] | None,
    manifest: Path | None,
    span: Span,
    labels: Collection[object] | None,
    *,
    resume: bool,
) -> None:
    """Refuse a run without recordings, or with options that they have no place for."""
    if inputs is None and manifest is None:
        raise UsageError("missing argument 'INPUT...'", "see: sepcli separate --help")
    if resume and STDIN in (inputs or ()):  # nothing is kept of it
        raise UsageError(
            "--resume cannot go on with standard input", "leave --resume out, or name a file"
        )
    if manifest is not None and inputs is not None:
        raise UsageError("--manifest and INPUT exclude each other", "give one of them")
    if manifest is not None and span != (None, None):
        raise UsageError(
            "--manifest and --start or --end exclude each other",
            "give its rows an offset and a duration",
        )
    if manifest is not None and labels:
        raise UsageError("--manifest and --labels exclude each other", "give one of them")


def check_segments(folder: Path | None, manifest: Path | None) -> None:
    """Refuse to add the lines of segments to a manifest while it is read."""
    from sepcli.separation.segments import MANIFEST_NAME

    if folder is not None and manifest is not None:
        written = folder / MANIFEST_NAME
        if real_path(written) == real_path(manifest):
            raise UsageError(
                f"--segments would write to the manifest that is read: {written}",
                "choose another folder for --segments",
            )


def known_voices(given: Sequence[str], only: str | None, template: str) -> dict[str, Path]:
    """Return the recordings of people by name; refuse names that files cannot have."""
    if not given and only is None:
        return {}
    from sepcli.separation.enrolment import check_only, parse_voices

    known = parse_voices(given)
    check_speaker_names(template, list(known))
    if only is not None:
        check_only(only, known)
    return known


def check_format(
    audio_format: Format,
    subtype: str,
    rate: Literal["input", "model"] | int,
    num_channels: int = 1,
) -> None:
    """Refuse what the format cannot hold, before anything is computed."""
    from sepcli.audio import check_output_format

    rate_hz = rate if isinstance(rate, int) else None
    check_output_format(audio_format, subtype or None, rate_hz, num_channels)
