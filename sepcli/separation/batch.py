"""Many recordings: one is read and one is written while the network works on a third."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from sepcli.audio import AudioReader, resampled_length
from sepcli.audio.sources import not_opened
from sepcli.audio.waiting import give_up_when
from sepcli.errors import SepcliError
from sepcli.files import AlreadyThereError, remove_stale_temporaries
from sepcli.separation.jobs import STDIN, Job
from sepcli.separation.pipeline import Pipeline
from sepcli.separation.recording import Recording
from sepcli.separation.scratch import Spool, default_spool_folder, spool_key
from sepcli.separation.writing import (
    Delivery,
    OutputOptions,
    clipping_notes,
    deliver,
    output_format,
    output_length,
    output_rate,
    prepare_folder,
    refuse_unwritable,
    require_output_space,
)

QUIET_FOR_16_BITS = 2.0**-10  # a peak of 32 steps
READ_AHEAD = 2  # recordings spooled before the network asks for them
SHORT_AHEAD = 16  # as many where they fit into memory: read in one go they take half the time
WRITE_BEHIND = 16  # recordings that wait to be written
MIN_SECONDS_TO_COUNT_SPEAKERS = 30.0
RESUMABLE_SECONDS = 600.0  # shorter recordings are faster done again than kept


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
    warnings: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())


@dataclass
class _Work:
    """A recording under way."""

    job: Job
    recording: Recording
    started: float


def separate_jobs(
    pipeline: Pipeline,
    jobs: Sequence[Job],
    options: OutputOptions,
    on_read: Callable[[Recording], None] = lambda recording: None,
    on_chunk: Callable[[Recording], None] = lambda recording: None,
) -> Iterator[Outcome]:
    """Separate every job; yield each outcome as soon as its files are written.

    A job that fails does not stop the others. If the caller stops early, temporary files go, and
    the spool of a long recording stays for `resume`.

    Args:
        pipeline: Does the work.
        jobs: What to do.
        options: How outputs are written.
        on_read: Called, in another thread, when a recording was read.
        on_chunk: Called after each chunk with its recording.
    """
    for folder in {job.outputs[0].parent for job in jobs}:
        remove_stale_temporaries(folder)
    cancelled = threading.Event()
    under_way: dict[int, _Work] = {}
    with (
        ThreadPoolExecutor(1, "reader", give_up_when, (cancelled,)) as reader,
        ThreadPoolExecutor(1, "writer", give_up_when, (cancelled,)) as writer,
    ):
        try:
            outcomes: deque[Outcome] = deque()
            writing: deque[Future[Outcome]] = deque()

            def recordings() -> Iterator[Recording]:
                for prepared in _read_ahead(reader, pipeline, jobs, options, cancelled):
                    if isinstance(prepared, Outcome):
                        outcomes.append(prepared)
                        continue
                    on_read(prepared.recording)
                    under_way[id(prepared.recording)] = prepared
                    yield prepared.recording

            for recording, failure in pipeline.process(recordings(), on_chunk):
                work = under_way[id(recording)]
                if failure is None:
                    writing.append(writer.submit(_finish, work, options, under_way))
                else:
                    _release(work, under_way)
                    outcomes.append(Outcome(work.job, failure))
                while len(writing) > WRITE_BEHIND or (writing and writing[0].done()):
                    outcomes.append(writing.popleft().result())
                while outcomes:
                    yield outcomes.popleft()
            yield from outcomes
            yield from (future.result() for future in writing)
        finally:
            cancelled.set()
            reader.shutdown(wait=True, cancel_futures=True)
            writer.shutdown(wait=True, cancel_futures=True)
            for work in list(under_way.values()):
                work.recording.spool.close(keep=True)


def _read_ahead(
    reader: ThreadPoolExecutor,
    pipeline: Pipeline,
    jobs: Sequence[Job],
    options: OutputOptions,
    cancelled: threading.Event,
) -> Iterator[_Work | Outcome]:
    """Yield recordings in order, read in the background, never more than a few ahead."""
    coming: deque[Future[_Work | Outcome]] = deque()
    rest = iter(jobs)
    ahead = READ_AHEAD
    try:
        while True:
            if len(coming) < READ_AHEAD:
                for job in islice(rest, ahead - len(coming)):
                    coming.append(reader.submit(_prepare, pipeline, job, options))
            if not coming:
                return
            prepared = coming.popleft().result()
            is_short = isinstance(prepared, _Work) and prepared.recording.spool.is_in_memory
            ahead = SHORT_AHEAD if is_short else READ_AHEAD
            yield prepared
    finally:
        if coming:  # the run ends early
            cancelled.set()
        for future in coming:
            if not future.cancel():
                _discard(future)


def _discard(future: Future[_Work | Outcome]) -> None:
    """Close what a read-ahead has spooled for nothing."""
    try:
        prepared = future.result()
    except BaseException:  # it has nothing to close
        return
    if isinstance(prepared, _Work):
        prepared.recording.spool.close(keep=True)


def _prepare(pipeline: Pipeline, job: Job, options: OutputOptions) -> _Work | Outcome:
    """Return the recording of `job`, spooled and planned, or why there is none to work on."""
    started = time.monotonic()
    try:
        if is_done(job, options):
            return skipped(job)
        refuse_unwritable(job.source, job.possible, options)
        prepare_folder(job.outputs[0].parent)
        source = job.source if job.source is not None else STDIN
        with AudioReader(source, track=options.track) as reader:
            reader.select(*job.span)
            spool = _spool(pipeline, job, reader, options)
            try:
                recording = Recording(reader, pipeline.plan, spool)
                if options.resume:
                    recording.resume(pipeline.chunks_at_once)
                _require_output_space(recording, job, options)
            except BaseException:
                spool.close(keep=True)
                raise
        return _Work(job, recording, started)
    except SepcliError as error:
        return Outcome(job, error)


def _require_output_space(recording: Recording, job: Job, options: OutputOptions) -> None:
    rate = output_rate(recording, options)
    kind = output_format(recording.info, options, rate)
    require_output_space(job.all_outputs, kind, output_length(recording, rate))


def is_done(job: Job, options: OutputOptions) -> bool:
    """Return whether all outputs and labels are there and are to be kept."""
    return options.skip_existing and all(path.is_file() for path in job.outputs + job.labels)


def skipped(job: Job) -> Outcome:
    """Return the outcome of a job whose outputs are there, perhaps of more speakers than one."""
    more = takewhile(Path.is_file, job.optional)
    return Outcome(job, skipped=True, outputs=(*job.outputs, *more))


def _spool(pipeline: Pipeline, job: Job, reader: AudioReader, options: OutputOptions) -> Spool:
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
            "path": str(job.source.resolve()),
            "size": status.st_size,
            "modified": status.st_mtime_ns,
            "span": job.span,
            "track": options.track,
            "model": repr(pipeline.entry),
            "weights": pipeline.weights_digest,
            "options": repr(pipeline.options),
        }
        key = spool_key(description)
        spool = Spool(num_speakers, default_spool_folder(), key, resume=options.resume)
    try:
        spool.require_mixture_space(
            resampled_length(expected or 0, rate, pipeline.plan.sample_rate)
        )
    except BaseException:
        spool.close()
        raise
    return spool


def _finish(work: _Work, options: OutputOptions, under_way: dict[int, _Work]) -> Outcome:
    """Write the outputs of a complete recording; runs in the writing thread."""
    recording = work.recording
    try:
        delivery = deliver(recording, work.job, options)
    except SepcliError as error:
        if error.exit_code == 130:  # given up, not failed: the spool stays
            return Outcome(work.job, error)
        is_skipped = isinstance(error, AlreadyThereError) and is_done(work.job, options)
        _release(work, under_way, keep=not is_skipped)
        return skipped(work.job) if is_skipped else Outcome(work.job, error)
    _release(work, under_way)
    elapsed = time.monotonic() - work.started
    return Outcome(
        work.job,
        outputs=delivery.outputs,
        delivery=delivery,
        seconds=recording.seconds,
        elapsed=elapsed,
        warnings=recording.warnings,
        notes=_notes(recording, delivery),
    )


def _release(work: _Work, under_way: dict[int, _Work], *, keep: bool = False) -> None:
    """Let go of a recording; `keep` leaves the estimates of a long one for `resume`."""
    under_way.pop(id(work.recording), None)
    work.recording.spool.close(keep=keep)


def _notes(recording: Recording, delivery: Delivery) -> tuple[str, ...]:
    """Return what the user should know about a recording that went through."""
    found = []
    if recording.info.num_channels > 1:
        found.append(f"{recording.info.num_channels} channels were mixed down to one")
    if recording.is_call:
        found.append("each channel holds a speaker of its own, --channels keeps them as they are")
    if recording.has_turned_channels:
        found.append("channels opposite in phase were turned over, they would cancel each other")
    if recording.has_rumble:
        found.append("hum or rumble below speech was taken out")
    if delivery.gain != 1.0:
        found.append(
            f"all speakers were lowered together to avoid clipping: {delivery.gain_db:.1f} dB"
        )
    found += clipping_notes(delivery.num_clipped)
    if recording.peak == 0.0:
        found.append("the recording is silent")
    elif recording.usual_peak < QUIET_FOR_16_BITS and delivery.subtype == "PCM_16":
        found.append("so quiet that 16 bits hold it coarsely, --subtype FLOAT keeps it")
    found += _fewer_people(recording, delivery)
    return tuple(found)


def _fewer_people(recording: Recording, delivery: Delivery) -> tuple[str, ...]:
    """Return what to say where not every file has a speaker, as far as that can be told."""
    num_people, num_files = delivery.scene.num_people, len(delivery.outputs)
    is_told_how_many = isinstance(recording.plan.people, int)
    can_be_told = is_told_how_many or recording.seconds >= MIN_SECONDS_TO_COUNT_SPEAKERS
    if recording.peak == 0.0 or not (can_be_told and 0 < num_people < num_files):
        return ()
    return (f"it sounds like fewer people than outputs: {num_people} of {num_files}",)
