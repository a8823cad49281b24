"""Several devices: a process each, and one queue of recordings for all of them.

A process asks for the next recording when it can read one ahead, so that a faster device does more
of them. What it has done comes back over a pipe; the process that was started by the user alone
tells of it, so that lines stay whole and recordings are counted once.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, cast

import torch

from sepcli.errors import DeviceError, SepcliError, UsageError
from sepcli.memory import keep_freed_memory
from sepcli.separation.batch import separate_jobs
from sepcli.separation.jobs import Job
from sepcli.separation.outcome import Outcome
from sepcli.separation.pipeline import Pipeline, Say, silent
from sepcli.separation.runner import choose_device
from sepcli.separation.writing import OutputOptions

ALL_GPUS = "cuda:all"
AGAIN = "run again with --skip-existing; where memory was short, with fewer devices"
END_SECONDS = 10.0  # for a process that was told to end; it needs a layer of its network

MakePipeline = Callable[[str, Say], Pipeline]  # of a device's name, and where it says things
Guard = Callable[[], AbstractContextManager[None]]


def split_devices(named: str) -> list[str]:
    """Return the devices that a name stands for: `cuda:all`, or several with commas between.

    Raises:
        DeviceError: There is no GPU to take.
    """
    if named != ALL_GPUS:
        return named.split(",")
    choose_device("cuda")
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def refuse_stdin(jobs: Iterable[Job]) -> None:
    """Refuse a recording that comes from standard input: other processes cannot read it.

    Raises:
        UsageError: There is one.
    """
    if any(job.source is None for job in jobs):
        raise UsageError(
            "several devices cannot share standard input", "name one device, as in --device cuda:0"
        )


@dataclass
class _Worker:
    """A process of one device, seen from the process that started it."""

    device: str
    process: SpawnProcess
    connection: Connection
    under_way: list[Job] = field(default_factory=list)

    def lost(self) -> Iterator[Outcome]:
        """Yield what became of recordings that the process had when it ended."""
        self.connection.close()
        self.process.join()
        for job in self.under_way:
            code = self.process.exitcode
            yield Outcome(job, DeviceError(f"process ended, code {code}: {self.device}", AGAIN))

    def end(self) -> None:
        """Stop the process where it is; it takes away what it has begun."""
        self.process.terminate()
        self.process.join(END_SECONDS)
        if self.process.is_alive():
            self.process.kill()


def separate_on(
    devices: Sequence[str],
    make: MakePipeline,
    jobs: Sequence[Job],
    options: OutputOptions,
    on_read: Callable[[float], None] = silent,
    on_chunk: Callable[[float], None] = silent,
    *,
    say: Say,
    guard: Guard,
) -> Iterator[Outcome]:
    """Separate every job on some device; yield each outcome as soon as its files are written.

    Like `separate_jobs`, in one process a device. Where a process is killed, the recordings that
    it had are failures, and the others go on.

    Args:
        devices: Their names, from `split_devices`.
        make: Makes a pipeline in another process: it can be pickled.
        jobs: What to do.
        options: How outputs are written.
        on_read: Told the length of each recording that was read [s].
        on_chunk: Told how much more was separated [s].
        say: Told what a process says.
        guard: Makes what a process runs in, which turns signals into exceptions and hushes these.

    Raises:
        SepcliError: A device cannot be used.
    """
    waiting = deque(jobs)
    workers: dict[Connection, _Worker] = {}
    told: dict[str, Callable[[Any], None]] = {"read": on_read, "chunk": on_chunk, "say": say}
    try:
        for device in devices:
            worker = _start(device, len(devices), make, options, guard)
            workers[worker.connection] = worker
        while running := [connection for connection in workers if not connection.closed]:
            for connection in cast(list[Connection], wait(running)):
                worker = workers[connection]
                try:
                    kind, value = connection.recv()
                except (EOFError, ConnectionError):
                    yield from worker.lost()
                    continue
                if kind == "next":
                    _hand_out(waiting, worker)
                elif kind == "outcome":
                    worker.under_way.remove(value.job)
                    yield value
                elif kind == "failure":
                    raise value
                else:
                    told[kind](value)
    finally:
        for worker in workers.values():
            worker.end()
    yield from (
        Outcome(job, DeviceError("processes of all devices ended", AGAIN)) for job in waiting
    )


def _start(
    device: str, count: int, make: MakePipeline, options: OutputOptions, guard: Guard
) -> _Worker:
    """Return a process that is being started, with its share of the processor's cores."""
    context = multiprocessing.get_context("spawn")  # a fork would leave torch's threads behind
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_work, args=(theirs, device, make, options, guard), daemon=True, name=device
    )
    threads = os.environ.get("OMP_NUM_THREADS")
    try:
        os.environ["OMP_NUM_THREADS"] = threads or str(max(torch.get_num_threads() // count, 1))
        with _interrupts_held():
            process.start()
    finally:
        if threads is None:
            del os.environ["OMP_NUM_THREADS"]
    theirs.close()
    return _Worker(device, process, ours)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back, also in what is started: Python answers with a traceback until it is up."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    resource_tracker.ensure_running()  # which the first start would do, and let interrupts in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _let_interrupts_in() -> None:
    """Undo in a process that was started what its parent held back; what came since comes now."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _hand_out(waiting: deque[Job], worker: _Worker) -> None:
    """Send a process its next recording; None: there is no more."""
    job = waiting.popleft() if waiting else None
    if job is not None:
        worker.under_way.append(job)
    with suppress(ConnectionError):  # it ended since it asked, and is taken for lost in a moment
        worker.connection.send(job)


class _Parent:
    """The process that started this one; may be told from several threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def tell(self, kind: str, value: Any = None) -> None:
        """Send what happened."""
        with self._lock:
            self._connection.send((kind, value))

    def jobs(self) -> Iterator[Job]:
        """Yield recordings as long as there are any."""
        while True:
            self.tell("next")
            job = self._connection.recv()
            if job is None:
                return
            yield job


def _work(
    connection: Connection, device: str, make: MakePipeline, options: OutputOptions, guard: Guard
) -> None:
    """Do what the parent hands out; runs in a process of its own."""
    parent = _Parent(connection)
    with guard():
        _let_interrupts_in()
        keep_freed_memory()
        try:
            pipeline = make(device, lambda text: parent.tell("say", f"{device}: {text}"))
            outcomes = separate_jobs(
                pipeline,
                parent.jobs(),
                options,
                lambda seconds: parent.tell("read", seconds),
                lambda seconds: parent.tell("chunk", seconds),
            )
            for outcome in outcomes:
                parent.tell("outcome", outcome)
        except SepcliError as failure:
            parent.tell("failure", failure)
        except (EOFError, ConnectionError):  # the parent is gone
            pass
