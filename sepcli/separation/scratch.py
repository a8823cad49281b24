"""Where a recording waits while it is worked on, so that memory does not grow with it.

A spool holds the mixture at the network's rate, where files need it the recording at its own rate
too, and the estimates of every chunk, all as raw float32: in memory as long as that is little, then
in unnamed temporary files, which vanish with the process. The estimates of a long recording have a
name instead, in a folder of this user's own, so that an interrupted run can be resumed. Each chunk
of these ends with a checksum, since a disk may lose what was written before the power went.
"""

import hashlib
import json
import os
import re
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import platformdirs

from sepcli.errors import OutputError
from sepcli.files import require_free_space
from sepcli.files.private import open_private, private_folder, remove_old
from sepcli.separation.values import MEMORY_BYTES, Values, spool_failure

FLOAT_BYTES = 4
STEP_SAMPLES = 1 << 26  # 256 MB of a mixture, after which the disk is asked again
STALE_SECONDS = 7 * 24 * 3600  # an interrupted run nobody resumed for a week is forgotten
KEPT_NAME = re.compile(r"[0-9a-f]{32}\.estimates")
MARKER = b"sepcli estimates 1\n"

Array = np.ndarray[Any, np.dtype[np.float32]]


def spool_bytes(num_samples: int, num_chunks: int, chunk: int, num_speakers: int) -> int:
    """Return the size of a spool [bytes], known before any work is done."""
    return FLOAT_BYTES * (num_samples + num_chunks * (chunk * num_speakers + 1))


def default_spool_folder() -> Path:
    """Return where kept estimates lie: `$SEPCLI_SPOOL`, else the user's cache folder."""
    named = os.environ.get("SEPCLI_SPOOL")
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("sepcli"))


def spool_key(description: Mapping[str, Any]) -> str:
    """Return a name that is the same for the same recording, weights and options only."""
    text = json.dumps(description, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Spool:
    """The mixture and the chunk estimates of one recording, and what its voices sound like.

    Args:
        num_speakers: Estimates per chunk.
        parent: Where the folder of kept estimates lies; None to keep nothing.
        key: Name of these estimates, see `spool_key`.
        resume: Go on from the estimates that an interrupted run left under this key.

    Attributes:
        original: The recording at its own rate, where files need it.
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
                raise spool_failure(parent, cause) from cause
            if file is not None:
                self._kept = path
            elif resume:
                raise OutputError(
                    f"spool is in use, or its disk has no locks: {path}",
                    "wait for the other run to end, or leave out --resume",
                )
        self._num_checks = int(file is not None)  # values behind the estimates of each chunk
        self._mixture = Values(self._folder)
        self.original = Values(self._folder)
        self._estimates = Values(self._folder, file=file)
        self.voices = Values(self._folder, np.int8)
        if self._kept is not None and not resume:
            self.keep_chunks(0, 1)

    @property
    def num_samples(self) -> int:
        """Length of the mixture."""
        return self._mixture.count

    @property
    def is_in_memory(self) -> bool:
        """Whether the recording is so short that it needs no file."""
        longest = max(self.num_samples, self.original.count)
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
        steps = self._mixture.count // STEP_SAMPLES
        self._mixture.append(block)
        if self._mixture.count // STEP_SAMPLES > steps:  # how long it becomes is not always known
            self.require_mixture_space(0)

    def read_mixture(self, start: int, length: int) -> Array:
        """Return `length` samples of the mixture from sample `start`, `[samples]`."""
        return self._mixture.read(start, length)

    def finished_chunks(self, chunk: int) -> int:
        """Return how many chunks of `chunk` samples already have their estimates here."""
        return self._estimates.count // self._values_of(chunk)

    def is_sound(self, index: int, chunk: int) -> bool:
        """Return whether the estimates of chunk `index` are those that were added."""
        size = self._values_of(chunk)
        values = self._estimates.read(index * size, size)
        end = size - self._num_checks
        return not self._num_checks or values[end:].tobytes() == _check(values[:end]).tobytes()

    def keep_chunks(self, count: int, chunk: int) -> None:
        """Forget the estimates of all chunks from number `count` on."""
        self._estimates.truncate(count * self._values_of(chunk))

    def append_estimates(self, estimates: Array) -> None:
        """Add the estimates of the next chunk, `[speakers, samples]`."""
        self._estimates.append(estimates)
        if self._num_checks:
            self._estimates.append(_check(estimates))

    def read_estimates(self, index: int, chunk: int) -> Array:
        """Return the estimates of chunk `index`, `[speakers, samples]`."""
        size = self.num_speakers * chunk
        values = self._estimates.read(index * self._values_of(chunk), size)
        return values.reshape(self.num_speakers, chunk)

    def _values_of(self, chunk: int) -> int:
        """Return how many values there are of each chunk."""
        return chunk * self.num_speakers + self._num_checks

    def close(self, *, keep: bool = False) -> None:
        """Close the files; of those with a name, only estimates that `keep` is set for stay."""
        if self._kept is not None and not (keep and self._estimates.count):
            with suppress(OSError):  # before it is closed: until then its lock is ours
                self._kept.unlink(missing_ok=True)
        self._kept = None
        self._mixture.close()
        self.original.close()
        self._estimates.close()
        self.voices.close()


def _check(values: Array) -> Array:
    """Return the checksum of some values, as bits of one more, `[1]`."""
    checksum = zlib.crc32(np.ascontiguousarray(values, np.float32).data)
    return np.frombuffer(checksum.to_bytes(FLOAT_BYTES, "little"), np.float32)
