"""Manifests: recordings named by lines of JSON, as NeMo, Lhotse and Hugging Face datasets do."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from sepcli.audio import read_channel_names, read_info
from sepcli.errors import SepcliError, UsageError
from sepcli.separation.jobs import MOST_SECONDS, Failure, Job, Span, job_of, refuse_conflicts
from sepcli.separation.naming import Naming, unknown_name
from sepcli.separation.outcome import Outcome
from sepcli.separation.writing import OutputChannel

# of a speaker's row; an output has no offset, whatever part of its recording it is, and may have
# no channel
OWN_KEYS = {"audio_filepath", "offset", "duration", "speaker", "sample_rate", "margins", "channel"}


@dataclass(frozen=True)
class Row:
    """One line of a manifest.

    Attributes:
        source: The recording; a relative path starts at the manifest's folder.
        span: Which part of it is wanted [s].
        fields: Everything the line says.
    """

    source: Path
    span: Span
    fields: Mapping[str, Any]

    @property
    def part(self) -> str:
        """What tells outputs of one recording's parts apart; empty where the row has no offset."""
        start, stop = self.span
        if start is None:
            return ""
        return f"_{start:.3f}" if stop is None else f"_{start:.3f}-{stop:.3f}"


def read_manifest(text: str, path: Path) -> tuple[list[Row], list[Failure]]:
    """Return the rows of a manifest, and the lines that are none.

    Args:
        text: What it holds.
        path: Where it lies; without a folder, relative paths start at the current one.
    """
    rows: list[Row] = []
    failures: list[Failure] = []
    lines: dict[tuple[Path, Span], int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"line {number} of {path}"
        try:
            row = parse_row(_object(line, place), place, path.parent)
            first = lines.setdefault((row.source, row.span), number)
            if first != number:
                raise UsageError(
                    f"{place}: the same part of a recording as line {first}", "keep one of them"
                )
            rows.append(row)
        except SepcliError as error:
            failures.append(Failure(place, error))
    return rows, failures


def plan_rows(
    rows: Sequence[Row], naming: Naming, *, overwrite: bool = False, also_read: Sequence[Path] = ()
) -> tuple[list[Job], list[Failure]]:
    """Return the jobs for rows, and those that would replace something.

    Outputs keep the folders of recordings below the one that all of them have in common; those of
    a part have its times in their names.

    Args:
        rows: What to separate.
        naming: How outputs are named.
        overwrite: Whether outputs replace what is there; an input of the run they never replace.
        also_read: What else the run reads and must not replace.
    """
    folders = [row.source.absolute().parent.parts[1:] for row in rows]
    depth = len(list(takewhile(lambda names: len(set(names)) == 1, zip(*folders, strict=False))))
    jobs = []
    for row, folder in zip(rows, folders, strict=True):
        inside = Path(*folder[depth:])
        jobs.append(job_of(row.source, naming, inside, row.part, span=row.span, row=row.fields))
    return refuse_conflicts(jobs, overwrite=overwrite, also_read=also_read)


def outcome_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the rows of a recording's speakers, in the form of a manifest.

    Raises:
        AudioError: It was skipped, and the first of its outputs cannot be read.
    """
    job, delivery = outcome.job, outcome.delivery
    if delivery is not None:
        seconds, rate = outcome.seconds, delivery.sample_rate
        places: Sequence[OutputChannel] = delivery.places
    else:
        info = read_info(outcome.outputs[0])
        seconds, rate = (info.num_samples or 0) / info.sample_rate, info.sample_rate
        places = [(path, None) for path in outcome.outputs]
        if info.num_channels > 1:
            places = [(outcome.outputs[0], channel) for channel in range(info.num_channels)]
    margins = None if delivery is None else delivery.order.margins.tolist()
    fields = job.row or {}
    speakers = list(zip(_names(outcome, places), places, strict=True))
    return list(speaker_rows(fields, speakers, seconds=seconds, sample_rate=rate, margins=margins))


def _names(outcome: Outcome, places: Sequence[OutputChannel]) -> list[str]:
    """Return the names of the speakers at these places."""
    if outcome.delivery is not None:
        return list(outcome.delivery.cast.names)
    (first, channel), job = places[0], outcome.job
    # one file of everybody says who is on its channels, also on a single one
    names = read_channel_names(first) if channel is not None or len(job.speaker_paths) == 1 else ()
    if names or channel is not None:
        return list(names) or [unknown_name(number) for number in range(1, len(places) + 1)]
    return [job.name_of(path) for path, _ in places]


def speaker_rows(
    fields: Mapping[str, Any],
    speakers: Sequence[tuple[str, OutputChannel]],
    *,
    seconds: float,
    sample_rate: int,
    margins: Sequence[float] | None,
) -> Iterator[dict[str, Any]]:
    """Yield the row of each speaker: what is known, and what the recording's row said.

    Args:
        fields: The row of the recording.
        speakers: What each is called, and where they are.
        seconds: Their length [s].
        sample_rate: Their rate [Hz].
        margins: How surely each chunk goes on from the one before; None: not known any more.
    """
    known = None if margins is None else [round(m, 3) for m in margins if math.isfinite(m)]
    for name, (output, channel) in speakers:
        row: dict[str, Any] = {
            "audio_filepath": str(output.absolute()),
            "duration": round(seconds, 6),
            "speaker": name,
            "sample_rate": sample_rate,
            "margins": known,
        }
        if channel is not None:
            row["channel"] = channel
        yield carry(fields, row)


def carry(fields: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with what is our own and what another row said.

    Where both have a key, the other's is carried as `source_` and the key.
    """
    row = dict(own)
    taken = OWN_KEYS | own.keys()
    for key in sorted(fields, key=lambda key: key not in taken):  # ours first: the nearest source
        row[_free_key(key, taken | row.keys())] = fields[key]
    return row


def parse_row(fields: Mapping[str, Any], place: str, folder: Path) -> Row:
    """Return the row that says this.

    Args:
        fields: Its keys and values.
        place: Where it stands, for messages.
        folder: Where relative paths start.

    Raises:
        UsageError: It names no recording, or no part of one.
    """
    name = fields.get("audio_filepath")
    if not isinstance(name, str) or not name:
        others = ", ".join(list(fields)[:8]) or "nothing"
        raise UsageError(
            f"{place}: no audio_filepath", f"name the recording there; the line has: {others}"
        )
    try:
        if b"\0" in os.fsencode(name):
            raise ValueError("a zero byte")
    except ValueError as cause:
        raise UsageError(
            f"{place}: no name of a file: {name!a}", "write it as the system does, in UTF-8"
        ) from cause
    start = _seconds(fields, "offset", place)
    length = _seconds(fields, "duration", place)
    if length == 0.0:
        raise UsageError(f"{place}: duration is not above 0", "leave it out for all of it")
    stop = None if length is None else (start or 0.0) + length
    return Row(Path(os.path.normpath(folder / name)), (start, stop), fields)


def _object(line: str, place: str) -> dict[str, Any]:
    """Return the JSON object of a line.

    Raises:
        UsageError: There is none.
    """
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise UsageError(
            f"{place}: not a JSON object", 'one object a line, as in {"audio_filepath": "a.wav"}'
        )
    return fields


def _seconds(fields: Mapping[str, Any], key: str, place: str) -> float | None:
    """Return a time of a row [s]; None where it says none.

    Raises:
        UsageError: It is not a time.
    """
    value = fields.get(key)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value < MOST_SECONDS:
        raise UsageError(
            f"{place}: {key} is not a time: {json.dumps(value)}", "give seconds, as in 12.5"
        )
    return float(value)


def _free_key(key: str, taken: set[str]) -> str:
    """Return `key`, or with as many `source_` before it as it takes to be another one."""
    return key if key not in taken else _free_key(f"source_{key}", taken)
