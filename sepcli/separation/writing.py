"""A separated recording → files: order, common gain, resampling, writing, all names at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from sepcli.audio import (
    AudioInfo,
    OutputFormat,
    Together,
    check_output_format,
    kept_subtype,
    resampled_length,
)
from sepcli.files import printable
from sepcli.separation.casting import Cast, cast_people
from sepcli.separation.choices import Layout
from sepcli.separation.composing import are_outputs, compose, holds_recording
from sepcli.separation.jobs import Job
from sepcli.separation.labels import WRITERS, Labels
from sepcli.separation.recording import FULL_SCALE, Recording
from sepcli.separation.segments import (
    MANIFEST_NAME,
    Cut,
    SegmentFiles,
    cuts_of,
    publish_segments,
    segment_folder,
    segment_rows,
    segments_of,
)
from sepcli.separation.speakers import Scene, SpeakerOrder, Turn

OutputChannel = tuple[Path, int | None]  # a file, and which channel, from 0; None: the only one


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How outputs are written.

    Attributes:
        format: `wav`, `flac`, `ogg` or `mp3`.
        subtype: `PCM_16`, `PCM_24` or `FLOAT`; None keeps the depth of the input.
        sample_rate: `"input"`, `"model"` or a rate [Hz].
        track: Which audio track of a file with several, from 1; None is the first.
        overwrite: Replace outputs that are there.
        skip_existing: Leave out recordings whose outputs are all there; replace nothing.
        resume: Go on from the spool of an interrupted run.
        layout: A person has one of the `"files"`, or one of the `"channels"` of the only file.
        segments: Folder of utterances, with their manifest; None where none are cut out.
        tells_turns: Whether the outcome has the turns, also where no label or segment needs them.
    """

    format: str = "wav"
    subtype: str | None = None
    sample_rate: Literal["input", "model"] | int = "input"
    track: int | None = None
    overwrite: bool = False
    skip_existing: bool = False
    resume: bool = False
    layout: Layout = "files"
    segments: Path | None = None
    tells_turns: bool = True


@dataclass(frozen=True)
class Uncertainty:
    """A stretch in which it is not sure who is who.

    Attributes:
        start_seconds: Where it begins [s].
        stop_seconds: Where it ends [s].
        margin: How much better the order taken scores than the next best.
    """

    start_seconds: float
    stop_seconds: float
    margin: float


@dataclass(frozen=True)
class Delivery:
    """What was written for one recording.

    Attributes:
        sample_rate: Of the outputs [Hz].
        gain: One gain for all speakers, below 1 where the loudest would have clipped.
        num_clipped: Values that were limited to full scale all the same.
        order: Who is who in every chunk, with margins.
        subtype: Of the outputs.
        scene: How many people there are and who speaks when.
        outputs: What was written, a file a person or one for all.
        cast: Who is in each file or channel, and what they are called.
        turns: When there is speech in each of these, in order of time; of a recording too short
            for voices, none where nobody asked.
        uncertain: Where it is not sure who is who.
        num_segments: Utterances that were cut out.
    """

    sample_rate: int
    gain: float
    num_clipped: int
    order: SpeakerOrder
    subtype: str
    scene: Scene
    outputs: tuple[Path, ...]
    cast: Cast
    turns: tuple[Turn, ...]
    uncertain: tuple[Uncertainty, ...]
    num_segments: int = 0

    @property
    def places(self) -> tuple[OutputChannel, ...]:
        """Where each person is."""
        num_people = len(self.cast.names)
        if len(self.outputs) == num_people:
            return tuple((output, None) for output in self.outputs)
        return tuple((self.outputs[0], channel) for channel in range(num_people))

    @property
    def gain_db(self) -> float:
        """The common gain [dB]."""
        return 20 * math.log10(self.gain)


def clipping_notes(num_clipped: int) -> tuple[str, ...]:
    """Return the note on values limited to full scale; empty where there are none."""
    kept = "--format wav --subtype FLOAT keeps them"
    return (f"values beyond full scale were limited: {num_clipped}, {kept}",) if num_clipped else ()


def output_rate(recording: Recording, options: OutputOptions) -> int:
    """Return the sample rate of the outputs [Hz]."""
    if options.sample_rate == "input":
        return recording.info.sample_rate
    return recording.plan.sample_rate if options.sample_rate == "model" else options.sample_rate


def output_format(info: AudioInfo, options: OutputOptions, rate: int) -> OutputFormat:
    """Return how the outputs of a recording are written."""
    subtype = options.subtype or kept_subtype(options.format, info.subtype)
    return check_output_format(options.format, subtype, rate)


def output_length(recording: Recording, rate: int) -> int:
    """Return how many samples the outputs of a recording have."""
    return resampled_length(recording.seen.num_samples, recording.info.sample_rate, rate)


def deliver(recording: Recording, job: Job, options: OutputOptions) -> Delivery:
    """Write all speakers, and labels; files appear under their names together, complete.

    Args:
        recording: Complete.
        job: Where they go; where people are counted, as many outputs as there are people.
        options: How they are written.

    Raises:
        AlreadyThereError: Another run has written one meanwhile.
        OutputError: They cannot be written; nothing of them is left.
    """
    rate, heard_rate = output_rate(recording, options), recording.plan.sample_rate
    kind = output_format(recording.info, options, rate)
    order = recording.solve()
    needs_turns = bool(job.labels) or job.segments is not None
    scene = recording.scene(order, with_turns=needs_turns or options.tells_turns)
    cast = cast_people(recording.plan, scene)
    is_one_file = options.layout == "channels" and bool(cast.names)
    outputs = job.speaker_paths if is_one_file else job.outputs_of(cast.names)
    gain = 1.0 if kind.subtype == "FLOAT" else _common_gain(recording, order, scene, cast, rate)
    delivery = Delivery(
        sample_rate=rate,
        gain=gain,
        num_clipped=0,
        order=order,
        subtype=kind.subtype,
        scene=scene,
        outputs=outputs,
        cast=cast,
        turns=cast.turns_in_files(scene.turns),
        uncertain=tuple(
            Uncertainty(place.start / heard_rate, place.stop / heard_rate, place.margin)
            for place in order.uncertain
        ),
    )
    return _written(recording, job, options, delivery, kind) if outputs else delivery


def _written(
    recording: Recording, job: Job, options: OutputOptions, delivery: Delivery, kind: OutputFormat
) -> Delivery:
    """Write what is to be delivered; return it with what became of it."""
    cast, rate, gain = delivery.cast, delivery.sample_rate, delivery.gain
    names, is_one_file = cast.names, options.layout == "channels"
    with Together(options.overwrite) as files:
        if job.segments is not None:
            files.enter_context(segment_folder(job.segments))
        if job.labels:
            labels = _labels(job.labels, recording.seconds, names, delivery.turns)
            for path, content in labels.items():
                files.content(path, content)
        writers = [
            files.waveform(
                output,
                rate,
                kind,
                num_samples=output_length(recording, rate),
                channel_names=names if is_one_file else (),
            )
            for output in delivery.outputs
        ]
        cuts = _cuts(recording, job, delivery, kind)
        cutter = SegmentFiles(files, cuts, rate, kind)
        for block in compose(recording, delivery.order, delivery.scene, cast, rate):
            heard = block if gain == 1.0 else block * np.float32(gain)
            for writer, samples in zip(writers, [heard.T] if is_one_file else heard, strict=True):
                writer.write(samples)
            if cuts:
                cutter.write(heard)
        if job.segments is None or options.segments is None:
            files.publish()
        else:
            rows = segment_rows(cuts, names, rate, job.source, job.span[0] or 0.0)
            publish_segments(files, job.segments, options.segments / MANIFEST_NAME, rows)
    num_clipped = sum([writer.num_clipped for writer in writers])
    return replace(delivery, num_clipped=num_clipped, num_segments=sum(map(len, cuts)))


def _cuts(
    recording: Recording, job: Job, delivery: Delivery, kind: OutputFormat
) -> tuple[tuple[Cut, ...], ...]:
    """Return the segments that are cut out of each file; none at all where nobody asks for any."""
    if job.segments is None:
        return ()
    cast = delivery.cast
    unheard = cast.others(delivery.scene.turns)
    segments = segments_of(delivery.turns, recording.seconds, unheard)
    return cuts_of(segments, job.segments, cast.names, kind.extension, delivery.sample_rate)


def _labels(
    paths: Sequence[Path], seconds: float, names: Sequence[str], turns: Sequence[Turn]
) -> dict[Path, bytes]:
    """Return who speaks when, in the formats that the endings of `paths` stand for."""
    writers, readable = dict(WRITERS.values()), [printable(name) for name in names]
    return {
        path: writers[path.suffix](Labels(printable(path.stem), seconds, readable, turns)).encode()
        for path in paths
    }


def _common_gain(
    recording: Recording, order: SpeakerOrder, scene: Scene, cast: Cast, sample_rate: int
) -> float:
    """Return the gain for all speakers that keeps the loudest from clipping; 1 if none does.

    Clicks that are far louder than all else would silence it, and are limited instead.
    """
    most = max(map(len, cast.people), default=0)  # people in a file
    is_composed = not are_outputs(recording.plan, scene)
    if most <= 1 and not recording.may_clip(sample_rate, is_composed=is_composed):
        return 1.0
    blocks = compose(recording, order, scene, cast, sample_rate)
    peak = max((float(np.abs(block).max(initial=0.0)) for block in blocks), default=0.0)
    if holds_recording(recording.plan, scene):
        peak = min(peak, most * recording.loudest_without_clicks)
    return FULL_SCALE / peak if peak > 1.0 else 1.0
