"""`sepcli separate --report`: what of a run its page shows, and what it says of the rest."""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sepcli.cli import console
from sepcli.errors import AudioError, OutputError, UsageError
from sepcli.files import output_error, remove_stale_temporaries
from sepcli.page import Page, talk_of
from sepcli.separation.jobs import Job
from sepcli.separation.outcome import Outcome
from sepcli.separation.output_checks import prepare_folder

ENDINGS = (".html", ".htm")


class PageOfRun:
    """The page of a run; where it cannot be written any more, that is told at the end.

    Args:
        page: Open.
        audio_track: Which audio track of recordings is separated.
    """

    def __init__(self, page: Page, audio_track: int | None) -> None:
        self._page, self._audio_track = page, audio_track
        self._error: OutputError | None = None

    def show(self, outcome: Outcome) -> None:
        """Add a recording that was separated, or say that it was left out."""
        if self._error is not None:
            return
        label = outcome.job.label
        try:
            if outcome.skipped:
                self._page.add_missed(label, "skipped, its outputs were there")
            elif not outcome.outputs:
                self._page.add_missed(label, "; ".join(outcome.warnings))
            else:
                self._page.add(talk_of(outcome, self._audio_track))
        except AudioError as error:  # it was moved since
            console.warn(f"not in the report: {error.message}")
            self.miss(label, error.message)
        except OutputError as error:
            self._error = error

    def miss(self, label: str, why: str) -> None:
        """Say of a recording that it is not shown, and why."""
        try:
            if self._error is None:
                self._page.add_missed(label, why)
        except OutputError as error:
            self._error = error

    def finish(self) -> OutputError | None:
        """Give the page its name; return why it could not be written, if it could not."""
        try:
            if self._error is None:
                self._page.publish()
        except OutputError as error:
            self._error = error
        return self._error


@contextmanager
def open_page(
    path: Path | None, jobs: Sequence[Job], *, overwrite: bool, audio_track: int | None
) -> Iterator[PageOfRun | None]:
    """Give the page of a run; what was not finished in the block goes.

    Args:
        path: Its name; None where no page is wanted.
        jobs: What the run reads.
        overwrite: Whether a file of that name is replaced.
        audio_track: Which audio track of recordings is separated.

    Raises:
        UsageError: It is not named as a page.
        OutputError: It is there already, is an input of the run, or cannot be written.
    """
    if path is None:
        yield None
        return
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"a report is a page, and not named so: {path}", "name it .html")
    if os.path.lexists(path):  # also a link that leads nowhere
        _refuse_replacing(path, jobs, overwrite)
    prepare_folder(path.parent)
    remove_stale_temporaries(path.parent)
    with Page(path, overwrite) as page:
        yield PageOfRun(page, audio_track)


def _refuse_replacing(path: Path, jobs: Sequence[Job], overwrite: bool) -> None:
    """Raise `OutputError` unless what has the name of a page may be replaced by it."""
    if path.is_dir():
        raise output_error(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    sources = (job.source for job in jobs if job.source is not None)
    if path.exists() and any(source.exists() and source.samefile(path) for source in sources):
        raise OutputError(f"output would replace an input: {path}", "name another --report")
    if not overwrite:
        raise OutputError(
            f"output is already there: {path}",
            "move it away or name another; --overwrite replaces it, and outputs that are there too",
        )
