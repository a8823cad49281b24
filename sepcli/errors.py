"""The errors a user can cause, each with a hint that says what to do next."""

import difflib
from collections.abc import Iterable


class SepcliError(Exception):
    """A failure that has a known cause; shown as one line and a hint, never as a traceback.

    Attributes:
        message: What went wrong: one line, no full stop, the offending value after a colon.
        hint: What to do next, preferably a command to run.
        exit_code: The process exit code when this error ends the run.
        usual_hint: That of an error of this class which is given none.
    """

    exit_code = 1
    usual_hint = ""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint


class UsageError(SepcliError):
    """The command line or an option makes no sense; nothing was computed."""

    exit_code = 2


class ModelError(SepcliError):
    """A model is unknown, or its entry or configuration is wrong."""

    usual_hint = "correct its entry, or choose another model: sepcli info"


class WeightsError(SepcliError):
    """Weights cannot be fetched, are unsafe, or do not fit their network."""

    usual_hint = "fetch them again: sepcli download NAME --verify; or choose another: sepcli info"


class AudioError(SepcliError):
    """A recording cannot be read."""


class OutputError(SepcliError):
    """An output cannot be written: no space, no permission, already there."""


class DeviceError(SepcliError):
    """The device that was asked for is missing or out of memory."""


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return a hint that names the words of `known` closest to `word`.

    Args:
        word: What was asked for.
        known: What there is.
        otherwise: The hint where nothing is close, and the end of it where something is.
    """
    known = list(known)
    close = difflib.get_close_matches(word.lower(), known, n=3, cutoff=0.5)
    close = close or [name for name in known if name.startswith(word.lower())][:3]
    if not close:
        return otherwise or f"known are: {', '.join(known)}"
    return f"did you mean {' or '.join(close)}?" + (f" {otherwise}" if otherwise else "")
