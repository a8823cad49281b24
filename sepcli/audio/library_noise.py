"""Silence for libmpg123, which complains on the process's own stderr, past Python."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

STDERR = 2
PIPE_BYTES = 1 << 20  # no system gives a pipe more
ITS_LINES = re.compile(rb"(?m)^((\[src/libmpg123/|Note: |Warning: ).*)?\n")
_one_at_a_time = threading.Lock()


@contextmanager
def without_mpg123() -> Iterator[None]:
    """Keep what libmpg123 says in the block from the user.

    There is no way through libsndfile to tell it so. What others write meanwhile, from another
    thread, comes out right after the block. On Windows below Python 3.12 it is heard.
    """
    if not hasattr(os, "set_blocking"):
        yield
        return
    with _one_at_a_time:
        try:
            ours = os.dup(STDERR)
        except OSError:  # there is no stderr
            yield
            return
        heard, told = os.pipe()
        for end in (heard, told):
            os.set_blocking(end, False)  # what does not fit is lost, and nobody waits
        os.dup2(told, STDERR)
        os.close(told)
        try:
            yield
        finally:
            os.dup2(ours, STDERR)
            _pass_on(heard)
            os.close(ours)
            os.close(heard)


def _pass_on(heard: int) -> None:
    """Write to stderr what is not libmpg123's."""
    try:
        text = os.read(heard, PIPE_BYTES)
    except BlockingIOError:
        return
    if others := ITS_LINES.sub(b"", text):
        with suppress(OSError):  # it takes no more
            os.write(STDERR, others)
