"""What a page tells of one recording; the same turns and doubts as `--json` and `--labels` have."""

from dataclasses import dataclass
from pathlib import Path

from sepcli.separation.jobs import Span
from sepcli.separation.outcome import Outcome
from sepcli.separation.speakers import Turn
from sepcli.separation.writing import Uncertainty


@dataclass(frozen=True)
class Track:
    """A waveform of a recording.

    Attributes:
        name: Whose it is.
        path: Where it is.
        channel: Which channel of it, from 0; None for all of them, mixed down.
        speaker: Its number in turns; None for the recording itself.
        span: Which part of the file it is [s].
        audio_track: Which audio track of a file with several, from 1.
    """

    name: str
    path: Path
    channel: int | None = None
    speaker: int | None = None
    span: Span = (None, None)
    audio_track: int | None = None


@dataclass(frozen=True)
class Talk:
    """A recording that was separated.

    Attributes:
        title: What it is called.
        seconds: Its length [s].
        tracks: The recording, where it can be read again, and its speakers.
        turns: Who speaks when.
        uncertain: Where that is not sure.
        remarks: What else there is to know, a line each.
    """

    title: str
    seconds: float
    tracks: tuple[Track, ...]
    turns: tuple[Turn, ...]
    uncertain: tuple[Uncertainty, ...]
    remarks: tuple[str, ...] = ()


def talk_of(outcome: Outcome, audio_track: int | None = None) -> Talk:
    """Return what a page tells of a recording that was separated.

    Args:
        outcome: What became of it; it was delivered.
        audio_track: Which audio track of the recording was separated.
    """
    job, delivery = outcome.job, outcome.delivery
    assert delivery is not None
    tracks = [
        Track(name, path, channel, speaker)
        for speaker, (name, (path, channel)) in enumerate(
            zip(delivery.cast.names, delivery.places, strict=True)
        )
    ]
    if job.source is not None:
        tracks.insert(0, Track("recording", job.source, span=job.span, audio_track=audio_track))
    return Talk(
        title=job.label,
        seconds=outcome.seconds,
        tracks=tuple(tracks),
        turns=delivery.turns,
        uncertain=delivery.uncertain,
        remarks=(*outcome.warnings, *outcome.notes),
    )
