"""Many recordings: one is read and one is written while the network works on a third."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from sepcli.audio.waiting import give_up_when
from sepcli.errors import SepcliError
from sepcli.files import AlreadyThereError, remove_stale_temporaries
from sepcli.separation.jobs import Job
from sepcli.separation.outcome import Outcome, is_done, notes_on, skipped, warnings_on
from sepcli.separation.pipeline import Pipeline, silent
from sepcli.separation.preparing import Work, prepare
from sepcli.separation.recording import Recording
from sepcli.separation.writing import OutputOptions, deliver

READ_AHEAD = 2  # recordings spooled before the network asks for them
SHORT_AHEAD = 16  # of those that fit into memory: read in one go they take half the time
WRITE_BEHIND = 16  # recordings that wait to be written


def separate_jobs(
    pipeline: Pipeline,
    jobs: Iterable[Job],
    options: OutputOptions,
    on_read: Callable[[float], None] = silent,
    on_chunk: Callable[[float], None] = silent,
) -> Iterator[Outcome]:
    """Separate every job; yield each outcome as soon as its files are written.

    A job that fails does not stop the others. If the caller stops early, temporary files go, and
    the spool of a long recording stays for `resume`.

    Args:
        pipeline: Does the work.
        jobs: What to do; each is taken when it can be read.
        options: How outputs are written.
        on_read: Told the length of each recording that was read [s].
        on_chunk: Told after each chunk how much more of its recording is separated [s].
    """
    cancelled = threading.Event()
    under_way: dict[Recording, Work] = {}
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
                    on_read(prepared.recording.seconds)
                    under_way[prepared.recording] = prepared
                    yield prepared.recording

            for recording, failure in pipeline.process(
                recordings(), lambda recording: on_chunk(_seconds_added(recording))
            ):
                work = under_way[recording]
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


def _seconds_added(recording: Recording) -> float:
    """Return how much of a recording its latest chunk separated [s]."""
    done = recording.num_accepted
    return recording.seconds_before(done) - recording.seconds_before(done - 1)


def tidied(jobs: Iterable[Job]) -> Iterator[Job]:
    """Yield jobs, once their folders are rid of what dead runs left there."""
    folders: set[Path] = set()
    for job in jobs:
        folder = job.folder
        if folder not in folders:
            folders.add(folder)
            remove_stale_temporaries(folder)
        yield job


def _read_ahead(
    reader: ThreadPoolExecutor,
    pipeline: Pipeline,
    jobs: Iterable[Job],
    options: OutputOptions,
    cancelled: threading.Event,
) -> Iterator[Work | Outcome]:
    """Yield recordings in order, read in the background, never more than a few ahead."""
    coming: deque[Future[Work | Outcome]] = deque()
    rest = tidied(jobs)
    ahead = READ_AHEAD
    try:
        while True:
            if len(coming) < READ_AHEAD:
                for job in islice(rest, ahead - len(coming)):
                    coming.append(reader.submit(prepare, pipeline, job, options))
            if not coming:
                return
            prepared = coming.popleft().result()
            is_short = isinstance(prepared, Work) and prepared.recording.spool.is_in_memory
            ahead = SHORT_AHEAD if is_short else READ_AHEAD
            yield prepared
    finally:
        if coming:  # the run ends early
            cancelled.set()
        for future in coming:
            if not future.cancel():
                _discard(future)


def _discard(future: Future[Work | Outcome]) -> None:
    """Close what a read-ahead has spooled for nothing."""
    try:
        prepared = future.result()
    except BaseException:  # it has nothing to close
        return
    if isinstance(prepared, Work):
        prepared.recording.spool.close(keep=True)


def _finish(work: Work, options: OutputOptions, under_way: dict[Recording, Work]) -> Outcome:
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
        warnings=warnings_on(work.job, recording, delivery),
        notes=notes_on(recording, delivery),
    )


def _release(work: Work, under_way: dict[Recording, Work], *, keep: bool = False) -> None:
    """Let go of a recording; `keep` leaves the estimates of a long one for `resume`."""
    under_way.pop(work.recording)
    work.recording.spool.close(keep=keep)
