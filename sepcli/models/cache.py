"""Files of a model that are at hand: in its folder or in the hub client's cache; no torch import.

Reads the cache's layout directly, so that `sepcli info` can say what is cached without loading the
client, and a run with everything cached needs no network.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sepcli.errors import WeightsError
from sepcli.models.entry import Source, alternatives

_DIGEST = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")  # of sha256, or of git for small files
_COMMIT = re.compile(r"[0-9a-f]{40}")


def cached_files(entry: Source) -> dict[str, Path] | None:
    """Return the entry's files by name where all of them are at hand, else None; no network."""
    found: dict[str, Path] = {}
    for spec in entry.files:
        for name in alternatives(spec):
            path = local_path(entry, name)
            if path is not None:
                found[name] = path
                break
        else:
            if not spec.endswith("?"):
                return None
    return found


def damage(entry: Source, name: str, path: Path) -> str:
    """Return what is wrong with a file at hand, empty where its digest is right or unknown."""
    expected = entry.sha256.get(name, "")
    if not expected and entry.folder is None:
        blob = path.resolve().name  # the cache names files by their digest
        expected = blob if _DIGEST.fullmatch(blob) else ""
    if not expected:
        return ""
    is_large = len(expected) == 64
    digest, method = (sha256(path), "sha256") if is_large else (_git_digest(path), "git's digest")
    return "" if digest == expected else f"{method} is {digest[:12]}..., not {expected[:12]}..."


def sha256(path: Path) -> str:
    """Return the hex digest of a file.

    Raises:
        WeightsError: The file cannot be read.
    """
    return _digest(path, hashlib.sha256)


def _git_digest(path: Path) -> str:
    """Return the hex digest that git knows a file by."""

    def begin() -> Any:
        header = f"blob {path.stat().st_size}\0".encode()
        return hashlib.sha1(header, usedforsecurity=False)

    return _digest(path, begin)


def _digest(path: Path, begin: Callable[[], Any]) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, begin).hexdigest()
    except OSError as cause:
        raise WeightsError(f"cannot read {path}: {cause.strerror}") from cause


def is_offline() -> bool:
    """Return whether HF_HUB_OFFLINE forbids to use the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def local_path(entry: Source, name: str) -> Path | None:
    """Return where one file of the entry lies, None where it is not at hand."""
    path = place(entry, name) if entry.folder or _commit(entry) else None
    return path if path is not None and path.is_file() else None


def place(entry: Source, name: str) -> Path:
    """Return where one file of the entry lies once it is at hand."""
    if entry.folder is not None:
        return entry.folder / name
    return _repo_cache(entry) / "snapshots" / _commit(entry) / name


def known_absent(entry: Source, name: str) -> bool:
    """Return whether the hub once said that the cached revision holds no such file."""
    commit = _commit(entry)
    return bool(commit) and (_repo_cache(entry) / ".no_exist" / commit / name).is_file()


def _repo_cache(entry: Source) -> Path:
    from huggingface_hub import constants  # light: neither client nor torch is imported by it

    return Path(constants.HF_HUB_CACHE).expanduser() / f"models--{entry.repo.replace('/', '--')}"


def _commit(entry: Source) -> str:
    """Return the cached commit of the entry's revision, empty where none is."""
    if entry.address or _COMMIT.fullmatch(entry.revision):
        return entry.revision
    try:
        return (_repo_cache(entry) / "refs" / entry.revision).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
