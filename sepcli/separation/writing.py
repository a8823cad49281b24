"""A separated recording → files: order, common gain, resampling, writing, all names at once."""

import errno
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
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
from sepcli.errors import OutputError
from sepcli.files import check_name, output_error, require_free_space
from sepcli.separation.composing import are_estimates, compose, turns_in_files
from sepcli.separation.jobs import Job
from sepcli.separation.labels import WRITERS, Labels
from sepcli.separation.recording import FULL_SCALE, Recording
from sepcli.separation.speakers import Scene, SpeakerOrder, Turn

Layout = Literal["files", "channels"]
Place = tuple[Path, int | None]  # a file, and which channel of it, from 0; None of the only one


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
    """

    format: str = "wav"
    subtype: str | None = None
    sample_rate: Literal["input", "model"] | int = "input"
    track: int | None = None
    overwrite: bool = False
    skip_existing: bool = False
    resume: bool = False
    layout: Layout = "files"


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
        names: What people are called, in the order of files or channels.
        turns: When there is speech in each of these, in order of time.
    """

    sample_rate: int
    gain: float
    num_clipped: int
    order: SpeakerOrder
    subtype: str
    scene: Scene
    outputs: tuple[Path, ...]
    names: tuple[str, ...]
    turns: tuple[Turn, ...]

    @property
    def places(self) -> tuple[Place, ...]:
        """Where each person is."""
        if len(self.outputs) == len(self.names):
            return tuple((output, None) for output in self.outputs)
        return tuple((self.outputs[0], channel) for channel in range(len(self.names)))

    @property
    def gain_db(self) -> float:
        """The common gain [dB]."""
        return 20 * math.log10(self.gain)


def clipping_notes(num_clipped: int) -> tuple[str, ...]:
    """Return what to say of so many values that were limited; nothing of none."""
    kept = "--format wav --subtype FLOAT keeps them"
    return (f"values beyond full scale were limited: {num_clipped}, {kept}",) if num_clipped else ()


def speaker_names(count: int) -> tuple[str, ...]:
    """Return what so many people are called."""
    return tuple(f"spk{number}" for number in range(1, count + 1))


def refuse_unwritable(source: Path | None, outputs: Sequence[Path], options: OutputOptions) -> None:
    """Raise `OutputError` if an output cannot be written, as far as its name and folder tell."""
    for output in outputs:
        check_name(output)
    present = [output for output in outputs if os.path.lexists(output)]
    for output in present:
        if source is not None and output.exists() and output.samefile(source):
            raise OutputError(
                f"output would replace its input: {output}", "choose another --output-dir or --name"
            )
        if output.is_dir() and not output.is_symlink():
            raise output_error(output, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    if present and options.skip_existing:
        raise OutputError(
            f"only some of the outputs are there: {present[0]}",
            "remove them or move them away; or use --overwrite instead, which replaces them all",
        )
    if present and not options.overwrite:
        raise OutputError(
            f"output is already there: {present[0]}",
            "use --overwrite to replace it, or --skip-existing to keep it",
        )


def prepare_folder(folder: Path) -> None:
    """Make `folder`, where it is not there.

    Raises:
        OutputError: It cannot be made, or takes no files.
    """
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
        elif not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise output_error(folder, error) from error


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


def require_output_space(
    folder: Path, num_speakers: int, kind: OutputFormat, num_samples: int
) -> None:
    """Raise `OutputError` unless as many speakers, so many samples each, would fit uncompressed.

    Where people are counted, speakers are all that there may be.
    """
    if kind.format in ("wav", "flac"):
        share = 1.0 if kind.format == "wav" else 0.5  # speech in FLAC needs less than half
        size = int(num_samples * kind.bytes_per_value * num_speakers * share)
        require_free_space(folder, size, "the outputs")


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
    rate = output_rate(recording, options)
    kind = output_format(recording.info, options, rate)
    order = recording.solve()
    scene = recording.scene(order)
    names = speaker_names(recording.plan.num_files(scene.num_people))
    is_one_file = options.layout == "channels"
    outputs = job.outputs if is_one_file else job.all_outputs[: len(names)]
    _refuse_leftovers(job.all_outputs[len(outputs) :])
    turns = turns_in_files(scene.turns, len(names))
    gain = 1.0 if kind.subtype == "FLOAT" else _common_gain(recording, order, scene, rate)
    with Together(options.overwrite) as files:
        for path, content in _labels(job.labels, recording.seconds, names, turns).items():
            files.content(path, content)
        writers = [
            files.waveform(
                output,
                rate,
                kind,
                num_samples=output_length(recording, rate),
                channel_names=names if is_one_file else (),
            )
            for output in outputs
        ]
        for block in compose(recording, order, scene, rate):
            heard = block if gain == 1.0 else block * np.float32(gain)
            for writer, samples in zip(writers, [heard.T] if is_one_file else heard, strict=True):
                writer.write(samples)
        files.publish()
    return Delivery(
        rate, gain, files.num_clipped, order, kind.subtype, scene, outputs, names, turns
    )


def _refuse_leftovers(unused: Sequence[Path]) -> None:
    """Raise `OutputError` if a file of a speaker who was not found is there.

    Beside the new outputs it would pass for one of them. Whether an earlier run wrote it cannot be
    known, so it is not ours to remove.
    """
    for path in filter(os.path.lexists, unused):
        raise OutputError(
            f"fewer speakers than before, a file of the others is there: {path}",
            "move it away, then go on with --resume: long recordings are not separated again",
        )


def _labels(
    paths: Sequence[Path], seconds: float, names: Sequence[str], turns: Sequence[Turn]
) -> dict[Path, bytes]:
    """Return who speaks when, in the formats that the endings of `paths` stand for."""
    writers = dict(WRITERS.values())
    return {
        path: writers[path.suffix](Labels(path.stem, seconds, names, turns)).encode()
        for path in paths
    }


def _common_gain(
    recording: Recording, order: SpeakerOrder, scene: Scene, sample_rate: int
) -> float:
    """Return the gain for all speakers that keeps the loudest from clipping; 1 if none does."""
    if are_estimates(recording.plan, scene) and not recording.may_clip(sample_rate):
        return 1.0
    blocks = compose(recording, order, scene, sample_rate)
    peak = max((float(np.abs(block).max(initial=0.0)) for block in blocks), default=0.0)
    return FULL_SCALE / peak if peak > 1.0 else 1.0
