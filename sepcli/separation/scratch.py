"""Where a recording waits on disk while it is worked on, so that memory does not grow with it.

A spool holds the mixture at the network's rate and the estimates of every chunk, both as raw
float32. Short ones use unnamed temporary files, which vanish with the process. Long ones use a
named folder, so that an interrupted run can be resumed. Recordings of seconds stay in memory.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import platformdirs

from sepcli.errors import OutputError
from sepcli.files import require_free_space

try:
    import fcntl
except ImportError:  # Windows: no advisory locks, so a resumable spool is not shared there either
    fcntl = None  # type: ignore[assignment]

FLOAT_BYTES = 4
STALE_SECONDS = 7 * 24 * 3600  # an interrupted run nobody resumed for a week is forgotten

Array = np.ndarray[Any, np.dtype[np.float32]]


def spool_bytes(num_samples: int, num_chunks: int, chunk: int, num_speakers: int) -> int:
    """Return the size of a spool [bytes], known before any work is done."""
    return FLOAT_BYTES * (num_samples + num_chunks * chunk * num_speakers)


def default_spool_folder() -> Path:
    """Return the folder for named spools: `$SEPCLI_SPOOL`, else the user's cache folder."""
    named = os.environ.get("SEPCLI_SPOOL")
    return Path(named) if named else Path(platformdirs.user_cache_dir("sepcli")) / "spool"


def spool_key(description: Mapping[str, Any]) -> str:
    """Return a file name that is the same for the same recording, model and options."""
    text = json.dumps(description, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class Spool:
    """The mixture and the chunk estimates of one recording, on disk.

    Args:
        num_speakers: Estimates per chunk.
        folder: Where a resumable spool lives; None for unnamed temporary files.
        key: Name of the resumable spool inside `folder`.
        resume: Keep the estimates that an interrupted run left under this key.

    Raises:
        OutputError: The folder cannot be written.
    """

    def __init__(
        self,
        num_speakers: int,
        folder: Path | None = None,
        key: str = "",
        resume: bool = False,
    ) -> None:
        self.num_speakers = num_speakers
        self.num_samples = 0
        self._home: Path | None = None
        self._lock: IO[bytes] | None = None
        self._mixture: IO[bytes]
        self._estimates: IO[bytes]
        try:
            if folder is None:
                self._mixture = tempfile.TemporaryFile(prefix=".sepcli-")  # noqa: SIM115
                self._estimates = tempfile.TemporaryFile(prefix=".sepcli-")  # noqa: SIM115
            else:
                self._home, self._lock = _claim(folder, key)
                self._mixture = (self._home / "mixture.f32").open("w+b")
                mode = "r+b" if resume and (self._home / "estimates.f32").exists() else "w+b"
                self._estimates = (self._home / "estimates.f32").open(mode)
        except OSError as cause:
            raise _spool_failure(folder, cause) from cause

    @property
    def folder(self) -> Path | None:
        """The folder that outlives an interrupted run; None when the spool is unnamed."""
        return self._home

    def require_space(self, num_chunks: int, chunk: int) -> None:
        """Raise `OutputError` unless the estimates will fit on the disk that holds the spool."""
        where = self._home or Path(tempfile.gettempdir())
        done = self.finished_chunks(chunk)
        needed = spool_bytes(0, num_chunks - done, chunk, self.num_speakers)
        require_free_space(where, needed, "the spool")

    def append_mixture(self, block: Array) -> None:
        """Add the next samples of the mixture, `[samples]`."""
        self._append(self._mixture, block)
        self.num_samples += len(block)

    def read_mixture(self, start: int, length: int) -> Array:
        """Return `length` samples of the mixture from sample `start`, `[samples]`."""
        return _read(self._mixture, start, length)

    def finished_chunks(self, chunk: int) -> int:
        """Return how many chunks of `chunk` samples already have their estimates here."""
        return _size(self._estimates) // (FLOAT_BYTES * chunk * self.num_speakers)

    def keep_chunks(self, count: int, chunk: int) -> None:
        """Forget the estimates of all chunks from number `count` on."""
        self._estimates.truncate(FLOAT_BYTES * count * chunk * self.num_speakers)
        self._estimates.seek(0, os.SEEK_END)

    def append_estimates(self, estimates: Array) -> None:
        """Add the estimates of the next chunk, `[speakers, samples]`."""
        self._append(self._estimates, estimates)

    def read_estimates(self, index: int, chunk: int) -> Array:
        """Return the estimates of chunk `index`, `[speakers, samples]`."""
        size = self.num_speakers * chunk
        return _read(self._estimates, index * size, size).reshape(self.num_speakers, chunk)

    def close(self, *, keep: bool = False) -> None:
        """Close the files and, unless `keep` is set, remove what has a name."""
        keep = keep and self._home is not None and _size(self._estimates) > 0
        for stream in (self._mixture, self._estimates):
            with suppress(OSError):  # what a full disk refused is told already
                stream.close()
        if self._home is None:
            return
        if keep:
            (self._home / "mixture.f32").unlink(missing_ok=True)  # read again on resume
        else:
            shutil.rmtree(self._home, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()

    def _append(self, stream: IO[bytes], values: Array) -> None:
        try:
            stream.write(np.ascontiguousarray(values, dtype=np.float32).data)
            stream.flush()
        except OSError as cause:
            raise _spool_failure(self._home, cause) from cause


class MemorySpool:
    """What `Spool` does for a recording of seconds: its arrays are kept as they are, uncopied.

    Args:
        num_speakers: Estimates per chunk.
    """

    folder = None

    def __init__(self, num_speakers: int) -> None:
        self.num_speakers = num_speakers
        self.num_samples = 0
        self._blocks: list[Array] = []
        self._estimates: list[Array] = []

    def require_space(self, num_chunks: int, chunk: int) -> None:
        """Return: there is room."""

    def append_mixture(self, block: Array) -> None:
        """Add the next samples of the mixture, `[samples]`; the block must not change later."""
        self._blocks.append(block)
        self.num_samples += len(block)

    def read_mixture(self, start: int, length: int) -> Array:
        """Return `length` samples of the mixture from sample `start`, `[samples]`."""
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks)]
        return self._blocks[0][start : start + length]

    def finished_chunks(self, chunk: int) -> int:
        """Return how many chunks have their estimates here."""
        return len(self._estimates)

    def keep_chunks(self, count: int, chunk: int) -> None:
        """Forget the estimates of all chunks from number `count` on."""
        del self._estimates[count:]

    def append_estimates(self, estimates: Array) -> None:
        """Add the estimates of the next chunk, `[speakers, samples]`."""
        self._estimates.append(estimates)

    def read_estimates(self, index: int, chunk: int) -> Array:
        """Return the estimates of chunk `index`, `[speakers, samples]`."""
        return self._estimates[index]

    def close(self, *, keep: bool = False) -> None:
        """Let go of everything."""
        self._blocks.clear()
        self._estimates.clear()


def _claim(folder: Path, key: str) -> tuple[Path, IO[bytes]]:
    """Return the folder of this key, or a private one if it is taken, and the lock on it."""
    folder.mkdir(parents=True, exist_ok=True)
    _forget_stale(folder)
    for name in (key, f"{key}-{os.getpid()}"):
        home = folder / name
        home.mkdir(mode=0o700, exist_ok=True)
        lock = (home / "lock").open("wb")
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return home, lock
        except OSError:
            lock.close()
    raise OutputError(f"spool is in use: {folder / key}", "wait for the other run to end")


def _forget_stale(folder: Path) -> None:
    """Remove spools that nobody has touched for `STALE_SECONDS`."""
    for home in folder.iterdir():
        try:
            if time.time() - home.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(home, ignore_errors=True)
        except FileNotFoundError:  # another run was faster
            continue


def _read(stream: IO[bytes], start: int, length: int) -> Array:
    """Return `length` values from value `start`; positioned, so that threads do not race."""
    data = os.pread(stream.fileno(), length * FLOAT_BYTES, start * FLOAT_BYTES)
    return np.frombuffer(data, np.float32)


def _size(stream: IO[bytes]) -> int:
    """Return how many bytes are in a spool's file."""
    return os.fstat(stream.fileno()).st_size


def _spool_failure(folder: Path | None, cause: OSError) -> OutputError:
    where = folder or Path(tempfile.gettempdir())
    return OutputError(
        f"cannot write the spool in {where}: {cause.strerror or cause}",
        "free some space there, or point TMPDIR and SEPCLI_SPOOL at another disk",
    )
