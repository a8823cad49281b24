"""Files that are there completely or not at all: tables, checkpoints, archives."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sepcli.errors import OutputError
from sepcli.files.pending import PendingFile, check_folder, output_error
from sepcli.files.space import remove_stale_temporaries
from sepcli.files.temporary import printable, real_path


def refuse_taken(path: Path, *, overwrite: bool) -> None:
    """Raise unless a file may be written there; asked before the work that it is to hold.

    Raises:
        OutputError: Its folder is not there or takes no files, its name is taken, or belongs to no
            file.
    """
    if not path.parent.is_dir():
        raise OutputError(f"no such folder: {printable(path.parent)}", "make it first")
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise OutputError(f"not a file: {printable(path)}", "give a name that is free")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(
            f"output is already there: {printable(path)}",
            "use --overwrite to replace it, or give another name",
        )
    check_folder(path.parent)


def refuse_replacing(output: Path, inputs: Iterable[Path]) -> None:
    """Raise `OutputError` if an output has the name of an input."""
    if real_path(output) in set(map(real_path, inputs)):
        raise OutputError(
            f"output would replace an input: {printable(output)}", "give another name"
        )


@contextmanager
def whole_file(path: Path, *, overwrite: bool = True) -> Iterator[IO[bytes]]:
    """Give a hidden file; when the block ends well it is on the disk and takes the name `path`.

    If the block raises, nothing is left; what killed runs left in the folder goes. Unlike
    recordings, which can be separated again, such a file is there after a power cut too: to wait
    for the disk takes some 10 ms a file.

    Args:
        path: Its name.
        overwrite: Whether what has the name is replaced.

    Raises:
        AlreadyThereError: The name is taken.
        OutputError: The file cannot be written, or something in the block raised an OSError.
    """
    remove_stale_temporaries(path.parent)
    pending = PendingFile(path, overwrite)
    try:
        with os.fdopen(pending.descriptor, "w+b", closefd=False) as file:
            yield file
            file.flush()
            os.fsync(pending.descriptor)
        pending.close()
        pending.check()
        pending.publish()
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        pending.discard()


def write_whole(path: Path, content: bytes, *, overwrite: bool = True) -> None:
    """Write a file, whole or not at all; see `whole_file`.

    Raises:
        OutputError: It cannot be written.
    """
    with whole_file(path, overwrite=overwrite) as file:
        file.write(content)
