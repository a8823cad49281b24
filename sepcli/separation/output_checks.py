"""Whether outputs can be written, as far as that can be told before the work."""

import errno
import os
from pathlib import Path

from sepcli.audio import OutputFormat
from sepcli.errors import OutputError
from sepcli.files import check_folder, check_name, output_error, require_free_space
from sepcli.separation.jobs import Job
from sepcli.separation.segments import is_segment_name
from sepcli.separation.writing import OutputOptions


def refuse_unwritable(job: Job, options: OutputOptions) -> None:
    """Raise `OutputError` if an output cannot be written, as far as its name and folder tell."""
    source, outputs = job.source, job.possible
    for output in job.own_paths:
        check_name(output)
    present = [output for output in outputs if os.path.lexists(output)]
    for output in present:
        if source is not None and _is_same(output, source):
            raise OutputError(
                f"output would replace its input: {output}", "choose another --output-dir or --name"
            )
        if output.is_dir() and not output.is_symlink():
            raise output_error(output, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    if job.segments is not None and _is_taken(job.segments):
        present.append(job.segments)
    if present and options.skip_existing:
        raise OutputError(
            f"only some of the outputs are there: {present[0]}",
            "remove them or move them away; or use --overwrite instead, which replaces them all",
        )
    if present and not options.overwrite:
        raise OutputError(
            f"output is already there: {present[0]}",
            "use --overwrite to replace it, or --skip-existing to keep it",
        )


def _is_same(output: Path, source: Path) -> bool:
    """Return whether two names lead to one file; not where either leads nowhere."""
    try:
        return output.samefile(source)
    except OSError:
        return False


def _is_taken(folder: Path) -> bool:
    """Return whether there is a segment in a folder.

    What else is in it may be of other recordings: outputs, labels, folders of segments.

    Raises:
        OutputError: It cannot be looked into, or a file is in its place.
    """
    if not os.path.lexists(folder):
        return False
    try:
        names = [path.name for path in folder.iterdir() if not path.is_dir()]
    except OSError as error:
        raise output_error(folder, error) from error
    return any(map(is_segment_name, names))


def prepare_folder(folder: Path) -> None:
    """Make `folder`, where it is not there.

    Raises:
        OutputError: It cannot be made, or takes no files.
    """
    try:
        if folder.is_dir():
            if not os.access(folder, os.W_OK | os.X_OK):
                check_folder(folder)  # says why
        elif os.path.lexists(folder) and not folder.is_dir():  # another run may have made it now
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        else:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error


def require_output_space(
    folder: Path, num_speakers: int, kind: OutputFormat, num_samples: int
) -> None:
    """Raise `OutputError` unless there is room for all speakers' samples, uncompressed.

    Where people are counted, room for the most that may be found.
    """
    if kind.format in ("wav", "flac"):
        share = 1.0 if kind.format == "wav" else 0.5  # speech in FLAC needs less than half
        size = int(num_samples * kind.bytes_per_value * num_speakers * share)
        require_free_space(folder, size, "the outputs")
