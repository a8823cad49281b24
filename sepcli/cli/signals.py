"""Signals unwind the running command, so that temporary files go away; a second ends it."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_Handler = Callable[[int, FrameType | None], None] | signal.Handlers


class Interrupted(BaseException):
    """A signal asks the process to end; not an Exception, so that no handler swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def interruptible(afterwards: _Handler = signal.SIG_DFL) -> Iterator[None]:
    """Let a signal unwind the block, also one that comes where exceptions are swallowed.

    Args:
        afterwards: What further signals do: by default they end the process at once.
    """
    usual_hook = sys.unraisablehook

    def interrupt(number: int, _frame: FrameType | None) -> None:
        _handle_signals(afterwards)
        raise Interrupted(number)

    def raise_again(swallowed: "sys.UnraisableHookArgs") -> None:
        """Repeat an interruption that a finaliser or import lock dropped, once it has returned."""
        if not isinstance(swallowed.exc_value, Interrupted):
            usual_hook(swallowed)
            return
        _handle_signals(interrupt)
        here = [threading.get_ident(), swallowed.exc_value.number]
        threading.Timer(0.01, _send, here).start()

    try:
        sys.unraisablehook = raise_again
        _handle_signals(interrupt)
        yield
    except Exception as failure:
        if isinstance(failure.__cause__, Interrupted):  # Python wraps what a class body raises
            raise failure.__cause__ from None
        raise
    finally:
        _handle_signals(afterwards)
        sys.unraisablehook = usual_hook


@contextmanager
def under_a_parent() -> Iterator[None]:
    """Let SIGTERM end the block, quietly; Ctrl-C is for the parent, which then sends that.

    Where all processes are told to end, as by a scheduler, it comes twice.
    """
    with interruptible(signal.SIG_IGN):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            yield
        except Interrupted:
            return


def _send(thread: int, number: int) -> None:
    """Send a signal to a thread, which also wakes what waits there, where the system can."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread, number)
    else:
        signal.raise_signal(number)


def _handle_signals(handler: _Handler) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)
