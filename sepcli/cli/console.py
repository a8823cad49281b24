"""The only module that prints: results to stdout, everything else to stderr."""

import io
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepcli.errors import OutputError, SepcliError
from sepcli.files import printable

if TYPE_CHECKING:  # it takes longer than all else that `sepcli info` does
    from rich.console import Console, RenderableType
    from rich.text import Text

NO_WIDTH = 200  # of what is written where there is no width [columns]
BAR_DELAY_SECONDS = 2.0  # what is over before this is not worth a bar


@dataclass
class _Verbosity:
    """How much is said; one per process, set once by the command line."""

    quiet: bool = False
    verbose: bool = False


_verbosity = _Verbosity()


def configure(*, quiet: bool = False, verbose: bool = False) -> None:
    """Set how much is said from here on: quiet keeps errors only, verbose adds causes."""
    _verbosity.quiet = quiet
    _verbosity.verbose = verbose


def result(*lines: str) -> None:
    """Write result lines to stdout, all at once; bytes of names that are not UTF-8 survive."""
    with _results():
        if not all(map(str.isprintable, lines)) and sys.stdout.isatty():
            lines = tuple(map(printable, lines))  # what a name holds must not move the cursor
        text = "".join(f"{line}\n" for line in lines)
        stream = getattr(sys.stdout, "buffer", None)
        if stream is None:
            sys.stdout.write(text)
        else:
            sys.stdout.flush()
            stream.write(os.fsencode(text))


@contextmanager
def _results() -> Iterator[None]:
    """Write out what is given to stdout in the block; a closed one takes nothing."""
    if sys.stdout is None:
        sys.stdout = io.StringIO()
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python writes out the rest at its end
        why = (problem.strerror or "failed").lower()
        raise OutputError(
            f"cannot write ({why}): standard output", "check the room where it goes: df -h"
        ) from problem


def result_json(*records: Mapping[str, Any]) -> None:
    """Write results as JSON objects to stdout, a line each, all at once."""
    result(*(json.dumps(record, ensure_ascii=True, default=str) for record in records))


def shows_style() -> bool:
    """Return whether stdout takes bold and colours; where it takes none, rich is not needed."""
    forced = any(name in os.environ for name in ("FORCE_COLOR", "TTY_COMPATIBLE"))
    return forced or (sys.stdout is not None and sys.stdout.isatty())


def show_lines(lines: Sequence[str], narrow: Sequence[str]) -> None:
    """Write lines to stdout, the first in bold; on a terminal too narrow for them, `narrow`."""
    if not shows_style():
        result(*lines)
        return
    from rich.text import Text

    def bold(header: str, *rest: str) -> Text:
        return Text.assemble((header, "bold"), *(f"\n{line}" for line in rest))

    show(bold(*lines), narrow=bold(*narrow))


def show(
    renderable: "RenderableType", narrow: "RenderableType | None" = None, *, folds: bool = False
) -> None:
    """Write a table or another rich object to stdout; nothing of it is cut short.

    Args:
        renderable: What to show.
        narrow: Shown in its place on a terminal that is too narrow for it.
        folds: Whether it breaks its own lines; else a terminal does where they are too long.
    """
    with _results():
        out = _console(file=sys.stdout, highlight=False)
        if not out.is_terminal:
            out.width = NO_WIDTH
        elif narrow is not None and _width(out, renderable) > out.width:
            renderable = narrow
        if out.is_terminal and not folds:
            out.width = max(out.width, _width(out, renderable))
        out.print(renderable)


def _width(out: "Console", renderable: "RenderableType") -> int:
    """Return the width at which no line is cut or broken."""
    return out.measure(renderable, options=out.options.update(max_width=NO_WIDTH)).maximum


def note(message: str) -> None:
    """Say something worth knowing on stderr; silent with `--quiet`."""
    if not _verbosity.quiet:
        _say(message, "")


def detail(message: str) -> None:
    """Say something on stderr that only `--verbose` wants."""
    if _verbosity.verbose:
        _say(message, "dim")


def warn(message: str, hint: str = "") -> None:
    """Say on stderr that something is not as the user may expect; silent with `--quiet`."""
    if not _verbosity.quiet:
        _say(f"warning: {message}", "yellow")
        if hint:
            _say(f"hint: {hint}", "")


def error(failure: SepcliError) -> None:
    """Say a known failure on stderr: one line, then its hint; `--verbose` adds the cause."""
    _say(f"error: {failure.message}", "red")
    if failure.hint:
        _say(f"hint: {failure.hint}", "")
    cause = failure.__cause__
    if _verbosity.verbose and cause is not None:
        _say(f"cause: {type(cause).__name__}: {cause}", "dim")


def text(lines: str) -> "Text":
    """Return text as it is shown in a table: nothing in it is markup or moves the cursor."""
    from rich.text import Text

    return Text("\n".join(printable(line) for line in lines.split("\n")))


def has_terminal() -> bool:
    """Return whether stderr is a terminal, which can show a bar."""
    return _console(file=_Stderr()).is_terminal


class Bar:
    """A progress bar on stderr that shows itself only when the work takes long."""

    def __init__(self, update: Callable[..., None]) -> None:
        self._update = update

    def advance(self, amount: float = 1.0) -> None:
        """Count `amount` more units of the total as done."""
        self._update(advance=amount)

    def update(
        self, *, completed: float | None = None, total: float | None = None, description: str = ""
    ) -> None:
        """Set how much is done, how much there is, or what the bar says."""
        said = printable(description) or None
        self._update(completed=completed, total=total, description=said)


@contextmanager
def progress(description: str, total: float | None = None, *, unit: str = "audio") -> Iterator[Bar]:
    """Yield a bar over `total` seconds of audio (`unit="audio"`), bytes, or items.

    Nothing is shown with `--quiet`, when stderr is no terminal, or in the first two seconds.
    """
    if _verbosity.quiet or not has_terminal():
        yield Bar(lambda **_: None)
        return
    from sepcli.cli.bars import bars_on  # few see one

    # told once: while an MP3 is decoded, stderr is no terminal for a moment
    bars = bars_on(_console(file=_Stderr(), force_terminal=True), unit)
    task = bars.add_task(printable(description), total=total)
    timer = threading.Timer(BAR_DELAY_SECONDS, bars.start)
    timer.daemon = True
    timer.start()
    try:
        yield Bar(partial(bars.update, task))
    finally:
        timer.cancel()
        bars.stop()


class _Notes(logging.Handler):
    """Says what the package logs: what it waits for while something is fetched."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say one thing."""
        note(record.getMessage())


@contextmanager
def loading(name: str) -> Iterator[Callable[[str, int, int], None]]:
    """Yield what shows (file, bytes done, bytes in all) of a model that is being loaded.

    A bar speaks of a download only once there is one; waits that a hub asks for are notes.
    """
    log, notes = logging.getLogger("sepcli"), _Notes(logging.WARNING)
    log.addHandler(notes)
    try:
        with progress(f"loading {name}", unit="bytes") as bar:

            def show(file: str, done: int, total: int) -> None:
                text = f"downloading {name}: {file}"
                bar.update(completed=done, total=total or None, description=text)

            yield show
    finally:
        log.removeHandler(notes)


def _say(message: str, style: str) -> None:
    from rich.text import Text

    said = Text(printable(message), style=style)
    _console(file=_Stderr(), highlight=False).print(said, soft_wrap=True)


class _Stderr:
    """stderr for rich: where it takes no more, as on a full disk, what is said is lost.

    The work goes on, and the exit code tells of the work.
    """

    def __init__(self) -> None:
        self._stream = getattr(sys.stderr, "rich_proxied_file", sys.stderr)  # past a bar

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # its encoding, above all: what can be drawn

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> None:
        with self._losing():
            self._stream.write(text)

    def flush(self) -> None:
        with self._losing():
            self._stream.flush()

    @contextmanager
    def _losing(self) -> Iterator[None]:
        if self._stream is None or self._stream.closed:
            self._stream = io.StringIO()
        try:
            yield
        except OSError:
            with suppress(OSError), Path(os.devnull).open("wb") as nothing:
                os.dup2(nothing.fileno(), self._stream.fileno())
                self._stream.flush()  # else Python fails to, at its end, and exits with 120


def lose_what_stderr_refuses() -> None:
    """Write out what is left for stderr, or lose it; what others say, as warnings, is there too."""
    _Stderr().flush()


def _console(**options: Any) -> "Console":
    from rich.console import Console

    return Console(**options)
