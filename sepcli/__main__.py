"""`python -m sepcli`, and the installed command."""

import os
import signal
import sys
from contextlib import suppress

# Until the command takes over, Ctrl-C ends the process without a traceback from some import.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from sepcli.cli import app  # noqa: E402

INTERRUPTED = (128 + signal.SIGINT, 128 + signal.SIGTERM)


def main() -> None:
    """Run the command line; once an interrupted command is unwound, end without delay.

    Python takes most of a second to take down what torch brought in.
    """
    try:
        app.main()
    except SystemExit as ended:
        if ended.code not in INTERRUPTED:
            raise
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(ended.code)


if __name__ == "__main__":
    main()
