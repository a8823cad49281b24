"""Files that are there completely or not at all: tables, checkpoints, archives."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sepcli.files.pending import PendingFile, output_error


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a hidden file; when the block ends well it is on the disk and takes the name `path`.

    What has the name is replaced then. If the block raises, nothing is left. Unlike recordings,
    which can be separated again, such a file is there after a power cut too: to wait for the disk
    takes some 10 ms a file.

    Raises:
        OutputError: The file cannot be written, or something in the block raised an OSError.
    """
    pending = PendingFile(path, overwrite=True)
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


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    with whole_file(path) as file:
        file.write(content)
