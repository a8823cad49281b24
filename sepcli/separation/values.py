"""Numbers that wait in memory as long as they are few, then in a temporary file."""

import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from sepcli.errors import OutputError

MEMORY_BYTES = 1 << 21  # of a mixture or of estimates; 20 s at 16 kHz cost less than two files


class Values:
    """Numbers added at the end and read from anywhere, by several threads.

    A few stay in memory, as the arrays that they came in; many lie in a file.

    Args:
        folder: Where a file lies; None where temporary ones do.
        kind: What they are, float32 if not told.
        file: One with a name, in which they lie from the first on.

    Attributes:
        count: How many there are.
    """

    def __init__(
        self, folder: Path | None, kind: type = np.float32, file: IO[bytes] | None = None
    ) -> None:
        self._folder = folder
        self._kind = np.dtype(kind)
        self._held: list[np.ndarray[Any, Any]] = []  # what is in no file
        self._file = file
        self._lock = threading.Lock()
        self._offset = self.count = 0
        if file is not None:
            self._offset = file.tell()  # behind the marker
            self.count = (file.seek(0, os.SEEK_END) - self._offset) // self._kind.itemsize

    def append(self, values: np.ndarray[Any, Any]) -> None:
        """Add values, in the order of their memory; they must not change later.

        Raises:
            OutputError: The disk does not take them.
        """
        with self._lock:
            self._held.append(np.ascontiguousarray(values, dtype=self._kind).reshape(-1))
            is_much = (self.count + values.size) * self._kind.itemsize > MEMORY_BYTES
            if self._file is not None or is_much:
                self._write_out()
            self.count += values.size

    def read(self, start: int, length: int) -> np.ndarray[Any, Any]:
        """Return `length` values from value `start`, fewer at the end; not to be changed.

        Raises:
            OutputError: The disk does not give them back.
        """
        with self._lock:
            if self._file is None:
                held = self._joined()[start : start + length]
                held.flags.writeable = False
                return held
            try:
                self._file.seek(self._place(start))
                data = self._file.read(length * self._kind.itemsize)
            except OSError as cause:
                raise spool_failure(self._folder, cause, "read") from cause
        return np.frombuffer(data, self._kind)

    def truncate(self, count: int) -> None:
        """Forget all values from number `count` on."""
        with self._lock:
            if self._file is None:
                self._held = [self._joined()[:count]]
            else:
                self._file.truncate(self._place(count))
            self.count = min(self.count, count)

    def close(self) -> None:
        """Let go of them."""
        self._held.clear()
        if self._file is not None:
            with suppress(OSError):  # what a full disk refused is told already
                self._file.close()

    def _joined(self) -> np.ndarray[Any, Any]:
        """Return what is in memory as one array."""
        if len(self._held) != 1:
            self._held = [np.concatenate([np.zeros(0, self._kind), *self._held])]
        return self._held[0]

    def _write_out(self) -> None:
        """Move what is in memory to the end of the file."""
        try:
            start = self.count
            if self._file is None:
                file = tempfile.TemporaryFile(prefix=".sepcli-", dir=self._folder)  # noqa: SIM115
                self._file, start = file, 0
            self._file.seek(self._place(start))
            for values in self._held:
                self._file.write(values.data)
            self._file.flush()
        except OSError as cause:
            raise spool_failure(self._folder, cause) from cause
        self._held.clear()

    def _place(self, index: int) -> int:
        """Return where value `index` is in the file [bytes]."""
        return self._offset + index * self._kind.itemsize


def spool_failure(folder: Path | None, cause: OSError, verb: str = "write") -> OutputError:
    """Return what to tell the user where a spool cannot be used; None: a temporary one."""
    where = folder or Path(tempfile.gettempdir())
    return OutputError(
        f"cannot {verb} the spool in {where}: {cause.strerror or cause}",
        "free some space there, or point TMPDIR and SEPCLI_SPOOL at another disk",
    )
