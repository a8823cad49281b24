"""A job → its recording, spooled and planned, or why there is none to work on."""

import math
import time
from dataclasses import dataclass
from typing import Any

from sepcli.audio import AudioReader, resampled_length
from sepcli.audio.sources import not_opened
from sepcli.errors import SepcliError
from sepcli.files import real_path, remove_stale_temporaries
from sepcli.separation.jobs import STDIN, Job
from sepcli.separation.outcome import Outcome, is_done, skipped
from sepcli.separation.output_checks import (
    prepare_folder,
    refuse_unwritable,
    require_output_space,
)
from sepcli.separation.pauses import KEPT_SECONDS, LEAST_SECONDS, SILENT_BELOW_PEAK_DB
from sepcli.separation.pipeline import Pipeline
from sepcli.separation.recording import Recording
from sepcli.separation.runner import choose_device
from sepcli.separation.scratch import Spool, default_spool_folder, spool_key
from sepcli.separation.writing import (
    OutputOptions,
    output_format,
    output_length,
    output_rate,
)

RESUMABLE_SECONDS = 600.0  # shorter recordings are faster done again than kept
# options that do not change estimates: of what is made of them, and which of several GPUs it is
AFTERWARDS = {"people", "voices", "outside_overlap", "bandwidth", "known", "only", "device"}


@dataclass
class Work:
    """A recording under way.

    Attributes:
        job: What is wanted.
        recording: Spooled and planned.
        started: When it was first looked at [s].
    """

    job: Job
    recording: Recording
    started: float


def prepare(pipeline: Pipeline, job: Job, options: OutputOptions) -> Work | Outcome:
    """Return the recording of `job`, spooled and planned, or why there is none to work on."""
    started = time.monotonic()
    try:
        if is_done(job, options):
            return skipped(job)
        refuse_unwritable(job, options)
        prepare_folder(job.folder)
        if job.segments is not None and options.segments is not None:
            prepare_folder(options.segments)
            for folder in (options.segments, job.segments):
                remove_stale_temporaries(folder)
        source = job.source if job.source is not None else STDIN
        with AudioReader(source, track=options.track) as reader:
            reader.select(*job.span)
            spool = _open_spool(pipeline, job, reader, options)
            try:
                recording = Recording(reader, pipeline.plan, spool)
                if options.resume:
                    recording.resume(pipeline.chunks_at_once)
                _require_output_space(recording, job, options)
            except BaseException:
                spool.close(keep=True)
                raise
        return Work(job, recording, started)
    except SepcliError as error:
        return Outcome(job, error)


def _require_output_space(recording: Recording, job: Job, options: OutputOptions) -> None:
    rate = output_rate(recording, options)
    kind = output_format(recording.info, options, rate)
    folder, length = job.folder, output_length(recording, rate)
    plan = recording.plan
    num_speakers = plan.num_files(None) if plan.only is None else 1
    require_output_space(folder, num_speakers, kind, length)
    if options.segments is not None:  # of no more than speak at any moment
        beside = num_speakers if options.segments.stat().st_dev == folder.stat().st_dev else 0
        num_speakers = beside + plan.num_speakers
        require_output_space(options.segments, num_speakers, kind, length)


def _open_spool(pipeline: Pipeline, job: Job, reader: AudioReader, options: OutputOptions) -> Spool:
    """Return a spool that the mixture will fit into, one that can be resumed for a long file."""
    expected, rate = reader.num_expected, reader.info.sample_rate
    seconds = math.inf if expected is None else expected / rate
    num_speakers = pipeline.plan.num_speakers
    if job.source is None or not (seconds >= RESUMABLE_SECONDS or options.resume):
        spool = Spool(num_speakers)
    else:
        try:
            status = job.source.stat()
        except OSError as error:  # it was moved since it was opened
            raise not_opened(job.source, error) from error
        description: dict[str, Any] = {
            "path": str(real_path(job.source)),
            "size": status.st_size,
            "modified": status.st_mtime_ns,
            "span": job.span,
            "track": options.track,
            "model": repr(pipeline.entry),
            "weights": pipeline.weights_digest,
            "options": repr(
                {k: v for k, v in vars(pipeline.options).items() if k not in AFTERWARDS}
            ),
            "device": choose_device(pipeline.options.device).type,
            "pauses": (SILENT_BELOW_PEAK_DB, KEPT_SECONDS, LEAST_SECONDS),
        }
        key = spool_key(description)
        spool = Spool(num_speakers, default_spool_folder(), key, resume=options.resume)
    try:
        spool.require_mixture_space(
            resampled_length(expected or 0, rate, pipeline.plan.sample_rate),
            (expected or 0) if pipeline.plan.keeps_own_rate(rate) else 0,
        )
    except BaseException:
        spool.close()
        raise
    return spool
