"""Options of the command line, each said once; commands name them in their signatures."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sepcli.models.entry import LONGEST_CHUNK_SECONDS
from sepcli.models.registry import complete_model
from sepcli.separation.choices import (
    MOST_SHIFTS,
    Bandwidth,
    Format,
    Layout,
    Leakage,
    Level,
    OutsideOverlap,
    Precision,
)


class LabelFormat(StrEnum):
    """Formats in which other tools read who speaks when; typer takes no list of a `Literal`."""

    rttm = "rttm"
    audacity = "audacity"
    textgrid = "textgrid"
    srt = "srt"


MODEL_FORMS = "NAME|FOLDER|hf:ORG/REPO"

# what more than one command takes
Device = Annotated[
    str, typer.Option("-d", "--device", metavar="auto|cpu|cuda[:N]|mps", help="Where to run.")
]
Devices = Annotated[
    str,
    typer.Option(
        "-d",
        "--device",
        metavar="auto|cpu|cuda[:N|:all]|mps",
        help="Where to run; cuda:all or cuda:0,cuda:1 share the recordings, a process a GPU.",
    ),
]
ProductPrecision = Annotated[
    Precision, typer.Option("--precision", help="bf16, fp16: less exact, faster on some devices.")
]
Revision = Annotated[
    str, typer.Option("--revision", help="Commit, tag or branch of the model's repository.")
]
Everything = Annotated[bool, typer.Option("--all", help="All models of the table.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")]
Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", help="Print more, such as the causes of errors.")
]

# what `sepcli separate` takes
Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="INPUT...", help="Files, folders, or - for a WAV on stdin."),
]
Manifest = Annotated[
    Path | None,
    typer.Option(
        "--manifest",
        metavar="FILE",
        help="Read recordings from a JSON Lines file, or - for stdin; with --json, print one "
        "line per speaker.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "-m",
        "--model",
        metavar=MODEL_FORMS,
        help="Model to use, see sepcli info; default: SEPCLI_MODEL, config.toml, or ensemble-16k, "
        "which is built in.",
        autocompletion=complete_model,
    ),
]
OutputDir = Annotated[Path, typer.Option("-o", "--output-dir", help="Where outputs go.")]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Search folders to any depth.")]
Name = Annotated[
    str,
    typer.Option(
        "--name",
        help="Names of outputs, without ending; fields: {stem}, {ext}, {model}, {speaker}.",
    ),
]
OutputLayout = Annotated[
    Layout,
    typer.Option(
        "--layout", help="channels: one file per recording, with one channel per speaker."
    ),
]
OutputFormat = Annotated[Format, typer.Option("--format", help="Format of the outputs.")]
Subtype = Annotated[
    str,
    typer.Option(
        "--subtype",
        metavar="PCM_16|PCM_24|FLOAT",
        help="Sample type; default: that of the input, at least 16 bits.",
    ),
]
SampleRate = Annotated[
    str,
    typer.Option("--sample-rate", metavar="input|model|HZ", help="Sample rate of the outputs."),
]
Start = Annotated[
    str,
    typer.Option(
        "--start",
        metavar="TIME",
        help="Separate from here on (seconds or h:mm:ss); times in labels count from here.",
    ),
]
Track = Annotated[
    int | None,
    typer.Option(
        "--track", metavar="N", help="Audio track to read, in a file with several.", min=1
    ),
]
Channels = Annotated[
    bool,
    typer.Option(
        "--channels",
        help="Write both channels as they are, for calls with one speaker on each; uses no model.",
    ),
]
End = Annotated[
    str, typer.Option("--end", metavar="TIME", help="Separate up to here (seconds or h:mm:ss).")
]
Chunk = Annotated[
    float | None,
    typer.Option(
        "--chunk",
        metavar="SECONDS",
        help="Length of a chunk; default: the model's.",
        min=0.1,
        max=LONGEST_CHUNK_SECONDS,
    ),
]
Overlap = Annotated[
    float | None,
    typer.Option(
        "--overlap", metavar="SECONDS", help="Overlap of chunks; default: the model's.", min=0.0
    ),
]
LevelFrom = Annotated[
    Level | None,
    typer.Option(
        "--level", help="fit: scale estimates to best explain the mixture; as-is: do not."
    ),
]
OfLeakage = Annotated[
    Leakage,
    typer.Option(
        "--leakage", help="remove: take out faint copies of other speakers; costs a little quality."
    ),
]
Voices = Annotated[
    str,
    typer.Option(
        "--voices",
        metavar="builtin|ecapa",
        help="Speaker embedding that tells people apart; ecapa: ECAPA-TDNN, an 83 MB download.",
    ),
]
KnownVoices = Annotated[
    list[str] | None,
    typer.Option(
        "--voice",
        metavar="NAME=FILE|FOLDER",
        help="Name speakers after people, by a recording of each alone; may be repeated.",
    ),
]
Only = Annotated[
    str | None,
    typer.Option(
        "--only", metavar="NAME", help="Write only the file of this person, a NAME of --voice."
    ),
]
Speakers = Annotated[
    str,
    typer.Option(
        "--speakers",
        metavar="N|auto",
        help="How many people speak; auto counts them; default: as many as the model separates.",
    ),
]
OutsideOverlaps = Annotated[
    OutsideOverlap,
    typer.Option(
        "--outside-overlap",
        help="What a file holds where only its speaker speaks.",
    ),
]
UpTo = Annotated[
    Bandwidth,
    typer.Option(
        "--bandwidth", help="full: in overlaps, restore what lies above the model's band."
    ),
]
WrittenLabels = Annotated[
    list[LabelFormat] | None,
    typer.Option(
        "--labels",
        metavar="|".join(LabelFormat),
        help="Write who speaks when beside the outputs; may be repeated.",
    ),
]
Segments = Annotated[
    Path | None,
    typer.Option(
        "--segments",
        metavar="DIR",
        help="Also write each utterance to a file of its own, listed in DIR/segments.jsonl.",
    ),
]
ReportPage = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write a page (.html) to look at and listen to: spectrogram, sound, turns.",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        metavar="N",
        help="Chunks per batch; default: 1 on a processor, what fits on a GPU.",
        min=1,
    ),
]
Shifts = Annotated[
    int,
    typer.Option(
        "--shifts",
        metavar="N",
        help="Run each chunk N times, shifted, and average: better, and N times as long.",
        min=1,
        max=MOST_SHIFTS,
    ),
]
Shard = Annotated[
    str,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Process the I-th of N parts of the recordings, for job arrays.",
    ),
]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Skip recordings whose outputs all exist.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with a long recording that was interrupted.")
]
JsonRecords = Annotated[bool, typer.Option("--json", help="Print one JSON object per recording.")]
