"""How far a run is, in lines for where there is no terminal to draw a bar: a log, a mail, a job."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sepcli.cli import console

MINUTE_SECONDS = 60.0
HOUR_SECONDS = 3600.0


class Tally:
    """Counts recordings and seconds of audio; may be told from several threads.

    Attributes:
        num_jobs: Recordings of the run.
        num_done: Written.
        num_skipped: Left out, because their outputs are there.
        num_failed: Given up.
        has_spoken: Whether a line was said while the run went on.
    """

    def __init__(self, num_jobs: int) -> None:
        self.num_jobs = num_jobs
        self.num_done = self.num_skipped = self.num_failed = 0
        self.has_spoken = False
        self._lock = threading.Lock()
        self._num_read = 0
        self._seconds_read = self._seconds_done = 0.0
        self._started = time.monotonic()

    def add_read(self, seconds: float) -> float:
        """Count a recording that was read; return how long all will be if they are like those."""
        with self._lock:
            self._num_read += 1
            self._seconds_read += seconds
            return self._seconds_read * self.num_jobs / self._num_read

    def add_separated(self, seconds: float) -> None:
        """Count audio that went through the network."""
        with self._lock:
            self._seconds_done += seconds

    def progress(self) -> str:
        """Return how far the run is."""
        finished = self.num_done + self.num_skipped + self.num_failed
        recordings = f"{finished} of {self.num_jobs} recordings, " if self.num_jobs > 1 else ""
        return f"{recordings}{self._amount()} of audio separated, {self._speed()}"

    def summary(self) -> str:
        """Return how the run went."""
        counts = f"{self.num_done} done, {self.num_skipped} skipped, {self.num_failed} failed"
        return f"{counts}: {self._amount()} of audio, {self._speed()}" if self.num_done else counts

    def _amount(self) -> str:
        return f"{self._seconds_done / HOUR_SECONDS:.2f} hours"

    def _speed(self) -> str:
        elapsed = max(time.monotonic() - self._started, 1e-9)
        return f"{self._seconds_done / elapsed:.1f}x real time"


@contextmanager
def lines(tally: Tally, title: str, every: float = MINUTE_SECONDS) -> Iterator[None]:
    """Say in the block how far the run is: at its start, where there is much to do, and regularly.

    Nothing is said on a terminal, which has a bar.
    """
    if console.has_terminal():
        yield
        return
    if tally.num_jobs > 1:
        console.note(title)
    ended = threading.Event()

    def speak() -> None:
        while not ended.wait(every):
            if not tally.has_spoken and tally.num_jobs == 1:
                console.note(title)
            tally.has_spoken = True
            console.note(tally.progress())

    speaker = threading.Thread(target=speak, name="progress", daemon=True)
    speaker.start()
    try:
        yield
    finally:
        ended.set()
        speaker.join()
