"""Utterances: turns cut out of their speakers' waveforms, a file each, and the lines on them."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from sepcli.audio import AudioWriter, OutputFormat, Together
from sepcli.audio.formats import FORMATS
from sepcli.files import lines_added, output_error
from sepcli.separation.naming import is_segment_stem, segment_stem
from sepcli.separation.speakers import Turn

Array = np.ndarray[Any, np.dtype[np.float32]]

MANIFEST_NAME = "segments.jsonl"
PAD_SECONDS = 0.1  # of what is before and after a turn


@dataclass(frozen=True, order=True)
class Segment:
    """An utterance.

    Attributes:
        start_seconds: Where it begins in the recording [s].
        stop_seconds: Where it ends [s].
        speaker: Whose it is, from 0.
        number: Which of that speaker's it is, from 1.
        overlap: Share of it in which others speak too, without pads.
    """

    start_seconds: float
    stop_seconds: float
    speaker: int
    number: int
    overlap: float


def segments_of(
    turns: Sequence[Turn], seconds: float, others: Sequence[Turn] = ()
) -> tuple[Segment, ...]:
    """Return the utterances of a recording in order of time, padded where there is room for it.

    What lies between two turns of a speaker belongs to the nearer one.

    Args:
        turns: Who speaks when.
        seconds: Length of the recording [s].
        others: Turns that are not cut out, and overlap these.
    """
    edges, overlapped = _overlapped([*turns, *others])
    found: list[Segment] = []
    for speaker, own in groupby(sorted(turns, key=_by_speaker), lambda turn: turn.speaker):
        mine = list(own)
        stops = [0.0, *(turn.stop_seconds for turn in mine[:-1])]
        starts = [*(turn.start_seconds for turn in mine[1:]), seconds]
        for number, (turn, before, after) in enumerate(zip(mine, stops, starts, strict=True), 1):
            room = turn.start_seconds - before, after - turn.stop_seconds
            lead = min(PAD_SECONDS, room[0] if number == 1 else room[0] / 2)
            trail = min(PAD_SECONDS, room[1] if number == len(mine) else room[1] / 2)
            begin, end = np.interp((turn.start_seconds, turn.stop_seconds), edges, overlapped)
            found.append(
                Segment(
                    turn.start_seconds - lead,
                    turn.stop_seconds + trail,
                    speaker,
                    number,
                    float((end - begin) / turn.seconds),
                )
            )
    return tuple(sorted(found))


def _by_speaker(turn: Turn) -> tuple[int, Turn]:
    return turn.speaker, turn


def _overlapped(turns: Sequence[Turn]) -> tuple[Array, Array]:
    """Return moments, and for how long two or more have spoken until then [s]."""
    if not turns:
        return np.zeros(1, np.float32), np.zeros(1, np.float32)
    edges = np.array([[turn.start_seconds, turn.stop_seconds] for turn in turns]).T.reshape(-1)
    order = np.argsort(edges, kind="stable")
    active = np.cumsum(np.repeat([1, -1], len(turns))[order])
    both = np.diff(edges[order]) * (active[:-1] >= 2)
    return edges[order], np.concatenate([[0.0], np.cumsum(both)])


@dataclass(frozen=True)
class Cut:
    """A segment and where it goes.

    Attributes:
        segment: The segment.
        path: Its file: the speaker, and which of theirs it is.
        span: Its samples.
    """

    segment: Segment
    path: Path
    span: range


def cuts_of(
    segments: Sequence[Segment], folder: Path, names: Sequence[str], ending: str, rate: int
) -> tuple[tuple[Cut, ...], ...]:
    """Return what to cut out of the waveform of each speaker, in order of time."""
    return tuple(
        tuple(
            Cut(each, folder / (segment_stem(name, each.number) + ending), _span(each, rate))
            for each in segments
            if each.speaker == speaker
        )
        for speaker, name in enumerate(names)
    )


def is_segment_name(name: str) -> bool:
    """Return whether a file may be a segment of some run, whatever speakers it knew."""
    stem, _, ending = name.rpartition(".")
    return ending in FORMATS and is_segment_stem(stem)


def _span(segment: Segment, rate: int) -> range:
    """Return the samples of a segment; there is at least one."""
    start = round(segment.start_seconds * rate)
    return range(start, max(start + 1, round(segment.stop_seconds * rate)))


class SegmentFiles:
    """Cuts the waveforms of all speakers into files as they come by; one open a speaker.

    Args:
        files: What they are published with.
        cuts: What to cut: for each speaker a path and its samples, in order.
        rate: Sample rate of the waveforms [Hz].
        kind: How files are written.
    """

    def __init__(
        self, files: Together, cuts: Sequence[Sequence[Cut]], rate: int, kind: OutputFormat
    ) -> None:
        self._files, self._rate, self._kind = files, rate, kind
        self._coming = [list(reversed(own)) for own in cuts]
        self._open: list[AudioWriter | None] = [None] * len(cuts)
        self._position = 0

    def write(self, block: Array) -> None:
        """Take the next samples of all speakers, `[speakers, samples]`.

        Raises:
            OutputError: A file cannot be written.
        """
        for speaker, samples in enumerate(block):
            self._write(speaker, samples)
        self._position += block.shape[1]

    def _write(self, speaker: int, samples: Array) -> None:
        coming, first = self._coming[speaker], self._position
        last = first + len(samples)
        while coming and coming[-1].span.start < last:
            cut = coming[-1]
            writer = self._open[speaker] or self._files.waveform(
                cut.path, self._rate, self._kind, num_samples=len(cut.span)
            )
            writer.write(samples[max(cut.span.start - first, 0) : cut.span.stop - first])
            if cut.span.stop > last:
                self._open[speaker] = writer
                return
            writer.finish()
            self._open[speaker] = None
            coming.pop()


@contextmanager
def segment_folder(folder: Path) -> Iterator[None]:
    """Make the folder of a recording's segments; where the block raises, an empty one goes again.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    try:
        yield
    except BaseException:
        with suppress(OSError):
            folder.rmdir()
        raise


def publish_segments(
    files: Together, folder: Path, manifest: Path, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Publish the files of a recording, and the rows of its segments among those of others.

    Rows are there before their files are: if the run is killed in between, the recording is not
    done, and the run that does it replaces them. Segments that an earlier run wrote and that are
    replaced by fewer go.

    Args:
        files: All files of the recording.
        folder: Where its segments are, and those of no other recording.
        manifest: Lines of JSON.
        rows: Of its segments.

    Raises:
        OutputError: Files or rows cannot be written; nothing of them is left. Or a segment of an
            earlier run cannot be removed.
    """
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    whole = Path(os.path.realpath(folder))
    mark = json.dumps(str(whole) + os.sep)[:-1].encode()

    def is_replaced(line: bytes) -> bool:
        """Return whether a line is on a segment in the folder itself, not in one inside."""
        file = _file_of(line) if mark in line else None
        return file is not None and file.parent == whole

    with lines_added(manifest, lines, is_replaced) as added:
        if added.anew is not None:
            files.closed(added.anew)
        files.publish()
    present = {Path(row["audio_filepath"]) for row in rows}
    for file in map(_file_of, added.replaced):
        if file is not None and file not in present:
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise output_error(file, error) from error


def _file_of(line: bytes) -> Path | None:
    """Return the segment that a line is on; None where somebody else has written the line."""
    try:
        return Path(json.loads(line)["audio_filepath"])
    except (ValueError, TypeError, KeyError):
        return None


def segment_rows(
    cuts: Sequence[Sequence[Cut]],
    names: Sequence[str],
    rate: int,
    source: Path | None,
    start: float,
) -> list[dict[str, Any]]:
    """Return what is known of segments, in order of time.

    Args:
        cuts: Of each speaker.
        names: What speakers are called.
        rate: Sample rate [Hz].
        source: The recording; None for standard input.
        start: Where the part that was separated begins in it [s].
    """
    return [
        {
            "audio_filepath": str(Path(os.path.realpath(cut.path.parent)) / cut.path.name),
            "duration": round(len(cut.span) / rate, 6),
            "speaker": names[cut.segment.speaker],
            "start": round(start + cut.span.start / rate, 6),
            "overlap": round(cut.segment.overlap, 3),
            "sample_rate": rate,
            "source_audio_filepath": None if source is None else str(source.absolute()),
        }
        for cut in sorted((cut for own in cuts for cut in own), key=lambda cut: cut.segment)
    ]
