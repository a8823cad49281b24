"""What became of a job, and what the user should know about its recording."""

import os
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from sepcli.errors import SepcliError
from sepcli.separation.composing import holds_recording
from sepcli.separation.jobs import Job
from sepcli.separation.recording import Recording
from sepcli.separation.speakers import likeness_to
from sepcli.separation.writing import Delivery, OutputOptions, clipping_notes

QUIET_FOR_16_BITS = 2.0**-10  # a peak of 32 steps
MIN_SECONDS_TO_COUNT_SPEAKERS = 30.0


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    Attributes:
        job: The job.
        error: Why it failed; None when it did not.
        skipped: Whether its outputs were there already.
        outputs: What was written, or was there; empty where the job failed.
        delivery: How it was written.
        seconds: Length of the recording [s].
        elapsed: From the first look at it to its last file, waiting for others included [s].
        warnings: What is wrong with the recording, a line each.
        notes: What else the user should know about it, a line each.
    """

    job: Job
    error: SepcliError | None = None
    skipped: bool = False
    outputs: tuple[Path, ...] = ()
    delivery: Delivery | None = None
    seconds: float = 0.0
    elapsed: float = 0.0
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def is_done(job: Job, options: OutputOptions) -> bool:
    """Return whether all outputs, labels and segments are there and are to be kept.

    Who is recognised has a file of another name instead of one of `outputs`.
    """
    # os.path's functions here and below: Path's raise where a name is too long
    has_segments = job.segments is None or os.path.isdir(job.segments)  # noqa: PTH112
    if not options.skip_existing or not has_segments or not all(map(os.path.isfile, job.labels)):
        return False
    if not job.named:
        return all(map(os.path.isfile, job.outputs))
    num_there = sum(map(os.path.isfile, job.speaker_paths))
    return num_there >= max(1, len(job.outputs))


def skipped(job: Job) -> Outcome:
    """Return the outcome of a job whose outputs are there, perhaps of more speakers than one."""
    if job.named:
        return Outcome(job, skipped=True, outputs=tuple(filter(os.path.isfile, job.speaker_paths)))
    more = takewhile(os.path.isfile, job.optional)
    return Outcome(job, skipped=True, outputs=(*job.outputs, *more))


def warnings_on(job: Job, recording: Recording, delivery: Delivery) -> tuple[str, ...]:
    """Return what is wrong with a recording that went through, a line each."""
    beside = _files_beside(job, delivery)
    return (*recording.seen.warnings, *beside, *_not_heard(recording, delivery))


def _files_beside(job: Job, delivery: Delivery) -> tuple[str, ...]:
    """Return what to say of files that would pass for outputs.

    Whether an earlier run wrote them cannot be known, so they are not ours to remove.
    """
    following = () if job.following is None else (job.following,)
    written = set(map(str, delivery.outputs))
    others = [path for path in (*job.speaker_paths, *following) if str(path) not in written]
    found = list(filter(os.path.lexists, others))
    if not found:
        return ()
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return (f"another speaker's file lies there, not of this run: {found[0]}{more}",)


def _not_heard(recording: Recording, delivery: Delivery) -> tuple[str, ...]:
    """Return why nothing was written where one person alone is wanted; empty where they speak."""
    plan = recording.plan
    if plan.only is None or plan.known is None or delivery.outputs:
        return ()
    likeness = likeness_to(plan.only, delivery.scene.voices, plan.known)
    needed = plan.known.min_likeness
    why = f"{needed:.2f} is needed" if likeness < needed else "but more like another voice"
    return (f"{plan.only} is not heard, nothing was written (likeness {likeness:.2f}, {why})",)


def notes_on(recording: Recording, delivery: Delivery) -> tuple[str, ...]:
    """Return what the user should know about a recording that went through."""
    seen, found = recording.seen, []
    if recording.info.num_channels > 1:
        found.append(f"{recording.info.num_channels} channels were mixed down to one")
    if seen.is_call:
        found.append("each channel holds a speaker of its own, --channels keeps them as they are")
    if seen.has_turned_channels:
        found.append("channels opposite in phase were turned over, they would cancel each other")
    if seen.has_rumble and not seen.is_silent:
        found.append(_about_rumble(recording, delivery))
    if delivery.gain != 1.0:
        found.append(
            f"all speakers were lowered together to avoid clipping: {delivery.gain_db:.1f} dB"
        )
    found += clipping_notes(delivery.num_clipped)
    if seen.is_silent:
        found.append("the recording is silent")
    elif seen.usual_peak < QUIET_FOR_16_BITS and delivery.subtype == "PCM_16":
        found.append("so quiet that 16 bits hold it coarsely, --subtype FLOAT keeps it")
    found += _fewer_people(recording, delivery)
    return tuple(found)


def _about_rumble(recording: Recording, delivery: Delivery) -> str:
    """Return what became of hum and rumble: it stays in what is the recording itself."""
    if holds_recording(recording.plan, delivery.scene):
        return (
            "hum or rumble below speech was taken out in overlaps, it stays where one speaks "
            "alone: --outside-overlap separated takes it out there"
        )
    return "hum or rumble below speech was taken out"


def _fewer_people(recording: Recording, delivery: Delivery) -> tuple[str, ...]:
    """Return what to say where not every file has a speaker, as far as that can be told."""
    num_people, num_files = delivery.scene.num_people, len(delivery.cast.names)
    is_told_how_many = isinstance(recording.plan.people, int)
    can_be_told = is_told_how_many or recording.seconds >= MIN_SECONDS_TO_COUNT_SPEAKERS
    if recording.seen.is_silent or not (can_be_told and 0 < num_people < num_files):
        return ()
    return (f"it sounds like fewer people than outputs: {num_people} of {num_files}",)
