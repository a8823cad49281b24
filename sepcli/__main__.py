"""`python -m sepcli`, and the installed command."""

import signal

# Until `main` takes over, Ctrl-C ends the process without a traceback from some import.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from sepcli.cli.app import main  # noqa: E402

if __name__ == "__main__":
    main()
