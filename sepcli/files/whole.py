"""Files that are there completely or not at all: tables, checkpoints, archives."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sepcli.files.pending import output_error
from sepcli.files.temporary import create_temporary, forget_temporary


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a hidden file; when the block ends well it is on the disk and takes the name `path`.

    What has the name is replaced then. If the block raises, nothing is left.

    Raises:
        OutputError: The file cannot be written, or something in the block raised an OSError.
    """
    try:
        descriptor, temporary = create_temporary(path.parent)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())  # also after a power cut
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
            forget_temporary(temporary)
    except OSError as error:
        raise output_error(path, error) from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    with whole_file(path) as file:
        file.write(content)
