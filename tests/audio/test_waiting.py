import io
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sepcli.audio import waiting
from sepcli.audio.waiting import Cancelled, check_cancelled, give_up_when, read_some, wait_readable

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Yield the ends of a pipe, to read from and to write to."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_what_is_there_is_given_at_once(pipe: Pipe) -> None:
    os.write(pipe[1], b"some")
    assert wait_readable(pipe[0], 0.0)
    with os.fdopen(os.dup(pipe[0]), "rb") as stream:
        assert read_some(stream, 1000) == b"some"  # and not waited for a thousand


def test_nothing_within_the_time(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.01)
    assert not wait_readable(pipe[0], 0.02)


def test_an_end_is_no_bytes() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        assert read_some(stream, 10) == b""


def test_a_stream_in_memory_needs_no_waiting() -> None:
    assert read_some(io.BytesIO(b"abc"), 2) == b"ab"


def test_who_is_told_gives_up_and_nobody_else(pipe: Pipe) -> None:
    cancelled = threading.Event()
    with ThreadPoolExecutor(1, initializer=give_up_when, initargs=(cancelled,)) as pool:
        pool.submit(check_cancelled).result()
        waits = pool.submit(wait_readable, pipe[0])
        time.sleep(0.05)
        assert not waits.done()
        cancelled.set()
        with pytest.raises(Cancelled):
            waits.result(timeout=5)
        with pytest.raises(Cancelled):
            pool.submit(check_cancelled).result()
    check_cancelled()


def test_a_system_that_cannot_ask_reads_instead(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(waiting.select, "poll")
    assert wait_readable(pipe[0], 0.0)
