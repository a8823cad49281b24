"""Waiting for bytes of another program, by a thread that can be told to wait no longer.

A thread that waits in the system hears nothing: no signal reaches it, and who ends the run would
have to wait with it, for a pipe that may never say anything again.
"""

import select
import threading
import time
from typing import IO

from sepcli.errors import SepcliError

LOOK_SECONDS = 0.1  # between two looks at whether to go on

_thread = threading.local()


class Cancelled(SepcliError):
    """The run ends: this recording is given up."""

    exit_code = 130


def give_up_when(cancelled: threading.Event) -> None:
    """Let whatever the calling thread waits for from now on end when `cancelled` is set."""
    _thread.cancelled = cancelled


def check_cancelled() -> None:
    """Raise `Cancelled` if the calling thread was told to give up."""
    cancelled: threading.Event | None = getattr(_thread, "cancelled", None)
    if cancelled is not None and cancelled.is_set():
        raise Cancelled("interrupted")


def wait_readable(descriptor: int, seconds: float | None = None) -> bool:
    """Return whether a descriptor has bytes, or has ended, within `seconds`; None is for ever.

    Where the system cannot ask a pipe (Windows), the answer is yes, and reading waits instead.

    Raises:
        Cancelled: The thread was told to give up.
    """
    check_cancelled()
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    end = None if seconds is None else time.monotonic() + seconds
    while not poll.poll(1000 * LOOK_SECONDS):
        check_cancelled()
        if end is not None and time.monotonic() >= end:
            return False
    return True


def read_some(stream: IO[bytes], num_bytes: int) -> bytes:
    """Return the next bytes of a stream, at most `num_bytes`, as soon as there are any.

    Raises:
        Cancelled: The thread was told to give up.
        OSError: The stream broke off.
    """
    try:
        descriptor = stream.fileno()
    except (OSError, AttributeError):  # no file of the system's: it need not be waited for
        return stream.read(num_bytes)
    wait_readable(descriptor)
    # one call to the system, which gives what is there; `read` may wait for all that was asked
    piece: bytes = getattr(stream, "read1", stream.read)(num_bytes)
    return piece
