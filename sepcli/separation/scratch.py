"""Where a recording waits while it is worked on, so that memory does not grow with it.

A spool holds the mixture at the network's rate, where files need it the recording at its own rate
too, and the estimates of every chunk, all as raw float32: in memory as long as that is little, then
in unnamed temporary files, which vanish with the process. The estimates of a long recording have a
name instead, in a folder of this user's own, so that an interrupted run can be resumed.
"""

import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import platformdirs

from sepcli.errors import OutputError
from sepcli.files import require_free_space
from sepcli.files.private import open_private, private_folder, remove_old

FLOAT_BYTES = 4
MEMORY_BYTES = 1 << 21  # of a mixture or of estimates; 20 s at 16 kHz cost less than two files
STEP_SAMPLES = 1 << 26  # 256 MB of a mixture, after which the disk is asked again
STALE_SECONDS = 7 * 24 * 3600  # an interrupted run nobody resumed for a week is forgotten
KEPT_NAME = re.compile(r"[0-9a-f]{32}\.estimates")
MARKER = b"sepcli estimates 1\n"

Array = np.ndarray[Any, np.dtype[np.float32]]


def spool_bytes(num_samples: int, num_chunks: int, chunk: int, num_speakers: int) -> int:
    """Return the size of a spool [bytes], known before any work is done."""
    return FLOAT_BYTES * (num_samples + num_chunks * chunk * num_speakers)


def default_spool_folder() -> Path:
    """Return where kept estimates lie: `$SEPCLI_SPOOL`, else the user's cache folder."""
    named = os.environ.get("SEPCLI_SPOOL")
    return Path(named) if named else Path(platformdirs.user_cache_dir("sepcli"))


def spool_key(description: Mapping[str, Any]) -> str:
    """Return a name that is the same for the same recording, weights and options only."""
    text = json.dumps(description, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Spool:
    """The mixture and the chunk estimates of one recording, and what its voices sound like.

    Args:
        num_speakers: Estimates per chunk.
        parent: Where the folder of kept estimates lies; None to keep nothing.
        key: Name of these estimates, see `spool_key`.
        resume: Go on from the estimates that an interrupted run left under this key.

    Attributes:
        voices: Values of 8 bits, for evidence that grows with the recording.

    Raises:
        OutputError: The folder cannot be written, is not this user's alone, or, for `resume`,
            another run holds the estimates.
    """

    def __init__(
        self, num_speakers: int, parent: Path | None = None, key: str = "", resume: bool = False
    ) -> None:
        self.num_speakers = num_speakers
        self._kept: Path | None = None
        self._folder: Path | None = None
        file: IO[bytes] | None = None
        if parent is not None:
            try:
                self._folder = private_folder(parent, "sepcli-spool")
                remove_old(self._folder, KEPT_NAME, MARKER, STALE_SECONDS)
                path = self._folder / f"{key}.estimates"
                file = open_private(path, MARKER)
            except OSError as cause:
                raise _spool_failure(parent, cause) from cause
            if file is not None:
                self._kept = path
            elif resume:
                raise OutputError(
                    f"spool is in use, or its disk has no locks: {path}",
                    "wait for the other run to end, or leave out --resume",
                )
        self._mixture = Values(_scratch_file(self._folder), self._folder)
        self._original = Values(_scratch_file(self._folder), self._folder)
        self._estimates = Values(file or _scratch_file(self._folder), self._folder)
        self.voices = Values(_scratch_file(self._folder), self._folder, np.int8)
        if not resume:
            self.keep_chunks(0, 1)

    @property
    def num_samples(self) -> int:
        """Length of the mixture."""
        return self._mixture.count

    @property
    def is_in_memory(self) -> bool:
        """Whether the recording is so short that it needs no file."""
        longest = max(self.num_samples, self._original.count)
        return longest * FLOAT_BYTES <= MEMORY_BYTES

    def require_mixture_space(self, num_samples: int, num_original: int = 0) -> None:
        """Raise `OutputError` unless so much more will fit, and the estimates of all.

        Args:
            num_samples: Of the mixture.
            num_original: Of the recording at its own rate.
        """
        in_all = self.num_samples + num_samples
        self._require(spool_bytes(num_samples + num_original, 1, in_all, self.num_speakers))

    def require_space(self, num_chunks: int, chunk: int) -> None:
        """Raise `OutputError` unless the estimates will fit on the disk that holds the spool."""
        done = self.finished_chunks(chunk)
        self._require(spool_bytes(0, num_chunks - done, chunk, self.num_speakers))

    def _require(self, num_bytes: int) -> None:
        if num_bytes > MEMORY_BYTES:
            where = self._folder or Path(tempfile.gettempdir())
            require_free_space(where, num_bytes, "the spool")

    def append_mixture(self, block: Array) -> None:
        """Add the next samples of the mixture, `[samples]`.

        Raises:
            OutputError: The disk is full, or would be by the estimates of what is here already.
        """
        steps = self.num_samples // STEP_SAMPLES
        self._mixture.append(block)
        if self.num_samples // STEP_SAMPLES > steps:  # how long it becomes is not always known
            self.require_mixture_space(0)

    def read_mixture(self, start: int, length: int) -> Array:
        """Return `length` samples of the mixture from sample `start`, `[samples]`."""
        return self._mixture.read(start, length)

    def append_original(self, block: Array) -> None:
        """Add the next samples of the recording at its own rate, `[samples]`."""
        self._original.append(block)

    def read_original(self, start: int, length: int) -> Array:
        """Return samples of the recording at its own rate, `[samples]`."""
        return self._original.read(start, length)

    def finished_chunks(self, chunk: int) -> int:
        """Return how many chunks of `chunk` samples already have their estimates here."""
        return self._estimates.count // (chunk * self.num_speakers)

    def keep_chunks(self, count: int, chunk: int) -> None:
        """Forget the estimates of all chunks from number `count` on."""
        self._estimates.truncate(count * chunk * self.num_speakers)

    def append_estimates(self, estimates: Array) -> None:
        """Add the estimates of the next chunk, `[speakers, samples]`."""
        self._estimates.append(estimates)

    def read_estimates(self, index: int, chunk: int) -> Array:
        """Return the estimates of chunk `index`, `[speakers, samples]`."""
        size = self.num_speakers * chunk
        return self._estimates.read(index * size, size).reshape(self.num_speakers, chunk)

    def close(self, *, keep: bool = False) -> None:
        """Close the files; of those with a name, only estimates that `keep` is set for stay."""
        if self._kept is not None and not (keep and self._estimates.count):
            with suppress(OSError):  # before it is closed: until then its lock is ours
                self._kept.unlink(missing_ok=True)
        self._kept = None
        self._mixture.close()
        self._original.close()
        self._estimates.close()
        self.voices.close()


class Values:
    """Numbers in a file, added at its end and read from anywhere, by several threads.

    Args:
        file: Where they are.
        folder: Where that lies.
        kind: What they are, float32 if not told.

    Attributes:
        count: How many there are.
    """

    def __init__(self, file: IO[bytes], folder: Path | None, kind: type = np.float32) -> None:
        self._file = file
        self._folder = folder
        self._kind = np.dtype(kind)
        self._offset = file.tell()  # behind the marker of a kept file
        self._lock = threading.Lock()
        self.count = (file.seek(0, os.SEEK_END) - self._offset) // self._kind.itemsize

    def append(self, values: np.ndarray[Any, Any]) -> None:
        """Add values, in the order of their memory."""
        with self._lock:
            try:
                self._seek(self.count)
                self._file.write(np.ascontiguousarray(values, dtype=self._kind).data)
                self._file.flush()
            except OSError as cause:
                raise _spool_failure(self._folder, cause) from cause
            self.count += values.size

    def read(self, start: int, length: int) -> np.ndarray[Any, Any]:
        """Return `length` values from value `start`, fewer at the end."""
        with self._lock:
            self._seek(start)
            data = self._file.read(length * self._kind.itemsize)
        return np.frombuffer(data, self._kind)

    def truncate(self, count: int) -> None:
        """Forget all values from number `count` on."""
        with self._lock:
            self._file.truncate(self._offset + count * self._kind.itemsize)
            self.count = min(self.count, count)

    def close(self) -> None:
        """Let go of the file."""
        with suppress(OSError):  # what a full disk refused is told already
            self._file.close()

    def _seek(self, index: int) -> None:
        self._file.seek(self._offset + index * self._kind.itemsize)


def _scratch_file(folder: Path | None) -> IO[bytes]:
    """Return a file without a name, in memory as long as it is small."""
    where = None if folder is None else str(folder)
    return tempfile.SpooledTemporaryFile(MEMORY_BYTES, prefix=".sepcli-", dir=where)


def _spool_failure(folder: Path | None, cause: OSError) -> OutputError:
    where = folder or Path(tempfile.gettempdir())
    return OutputError(
        f"cannot write the spool in {where}: {cause.strerror or cause}",
        "free some space there, or point TMPDIR and SEPCLI_SPOOL at another disk",
    )
