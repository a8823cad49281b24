"""Files of a model, fetched from the Hugging Face hub or the web, and verified; no torch import.

Fetching goes through the real hub client with its cache, tokens and environment variables
(HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE); this module adds what the client leaves to its callers:
no network where the cache holds everything, longer patience, digests, and errors with a hint.
"""

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from logging import CRITICAL
from pathlib import Path

from sepcli.errors import WeightsError
from sepcli.models import web
from sepcli.models.cache import cached_files, damage, is_offline, known_absent, local_path
from sepcli.models.entry import ModelEntry, Source, alternatives
from sepcli.models.hub_errors import MissingFileError, MissingRepoError, explained, status_of
from sepcli.models.hub_guard import Transfer, watched
from sepcli.models.registry import find_entry

OnProgress = Callable[[str, int, int], None]  # file, bytes done, bytes in all (0: unknown)

RETRY_WAITS_SECONDS = (1.0, 2.0, 4.0, 8.0)  # before each further try of a transfer that broke off

_CLIENT_BAR = "huggingface_hub.http_get"  # what the client calls its bar


@dataclass(frozen=True)
class Fetched:
    """Files of a model at hand, and whose they are.

    Attributes:
        entry: The entry the files belong to: the one asked for, or its fallback.
        files: Path by name.
        note: Why it is the fallback, one line; empty where it is not.
    """

    entry: ModelEntry
    files: dict[str, Path]
    note: str = ""


def fetch_model(
    entry: ModelEntry, *, on_progress: OnProgress | None = None, refresh: bool = False
) -> Fetched:
    """Return the entry's files as `fetch_files`, or its fallback's where they are gone.

    Raises:
        WeightsError: As `fetch_files`, of the fallback where there is one.
    """
    if not entry.fallback:
        return Fetched(entry, fetch_files(entry, on_progress=on_progress, refresh=refresh))
    spare = find_entry(entry.fallback)
    # A run with all it needs in the cache must not ask the hub whether the files came back.
    gone = cached_files(entry) is None and cached_files(spare) is not None
    if not gone or refresh or not (is_offline() or _known_gone(entry)):
        try:
            return Fetched(entry, fetch_files(entry, on_progress=on_progress, refresh=refresh))
        except MissingFileError:
            pass
    files = fetch_files(spare, on_progress=on_progress, refresh=refresh)
    note = f"{entry.repo} does not hold the weights of {entry.name}; using {spare.name}"
    return Fetched(spare, files, note)


def fetch_files(
    entry: Source, *, on_progress: OnProgress | None = None, refresh: bool = False
) -> dict[str, Path]:
    """Return the entry's files by name, downloaded where they are not at hand, each verified.

    Args:
        entry: Says which repository or folder, which revision, which files.
        on_progress: Called with (file, bytes done, bytes in all) while a download runs.
        refresh: Ask the hub for the newest state of the revision also where all is cached.

    Raises:
        MissingFileError: The repository or folder does not hold them.
        WeightsError: The hub cannot be reached, refuses, or sent something else than expected.
    """
    found = cached_files(entry)
    if entry.folder is not None:
        if found is None:
            raise _missing_in_folder(entry)
    elif found is None or (refresh and not is_offline()):
        found = _download_all(entry, on_progress)
    for name, path in found.items():
        if problem := damage(entry, name, path):
            found[name] = _replaced(entry, name, path, problem, on_progress)
    return found


def fetch_again(
    entry: Source, files: dict[str, Path], *, on_progress: OnProgress | None = None
) -> dict[str, Path]:
    """Return the entry's files, downloaded anew although they are cached.

    Raises:
        WeightsError: As `fetch_files`.
    """
    return {name: _download(entry, name, on_progress, anew=True) for name in files}


def find_file(
    repo: str, revision: str, name: str, *, on_progress: OnProgress | None = None
) -> Path | None:
    """Return a file of a hub repository, downloaded where it is not cached; None if there is none.

    Raises:
        MissingFileError: The repository or the revision does not exist.
        WeightsError: The hub cannot be reached or refuses.
    """
    probe = Source(name=f"hf:{repo}", files=(name + "?",), repo=repo, revision=revision)
    cached = cached_files(probe)
    if cached or (cached is not None and known_absent(probe, name)):
        return cached.get(name)
    try:
        return _download_all(probe, on_progress).get(name)
    except WeightsError as failure:
        # Offline, what is not cached may well not exist: the next file may be there.
        if is_offline() and not isinstance(failure, MissingFileError):
            return None
        raise


def _known_gone(entry: Source) -> bool:
    """Return whether the hub once said that a file the entry needs is not there."""
    needed = [spec for spec in entry.files if not spec.endswith("?")]
    return any(all(known_absent(entry, name) for name in alternatives(spec)) for spec in needed)


def _missing_in_folder(entry: Source) -> MissingFileError:
    missing = [
        spec.removesuffix("?")
        for spec in entry.files
        if not spec.endswith("?") and not any(local_path(entry, n) for n in alternatives(spec))
    ]
    return MissingFileError(
        f"model folder {entry.folder} does not hold: {', '.join(missing)}",
        "put the file there, or correct files in its model.toml",
    )


def _download_all(entry: Source, on_progress: OnProgress | None) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for spec in entry.files:
        missing: MissingFileError | None = None
        for name in alternatives(spec):
            try:
                found[name] = _download(entry, name, on_progress)
                break
            except MissingFileError as absent:
                if isinstance(absent, MissingRepoError):
                    raise
                missing = absent
        else:
            if missing is not None and not spec.endswith("?"):
                raise missing
    return found


def _replaced(
    entry: Source, name: str, path: Path, problem: str, on_progress: OnProgress | None
) -> Path:
    """Return a damaged file downloaded anew, or say that what the hub sends is no better."""
    if entry.folder is not None:
        raise WeightsError(f"file is altered: {path}: {problem}", "restore it, or correct sha256")
    if is_offline():
        raise WeightsError(
            f"cached file is damaged: {path}: {problem}",
            "unset HF_HUB_OFFLINE so that it can be downloaded again",
        )
    path = _download(entry, name, on_progress, anew=True)
    if problem := damage(entry, name, path):
        trust = "; to trust what the hub holds now, add `--revision main`"
        raise WeightsError(
            f"{name} of {entry.repo} is not the file that is known: {problem}",
            "try again later" + ("" if entry.address else trust),
        )
    return path


def _download(
    entry: Source, name: str, on_progress: OnProgress | None, *, anew: bool = False
) -> Path:
    """Return one file through the hub client; transfers that break off are tried again."""
    import huggingface_hub

    if anew and (damaged := local_path(entry, name)) is not None:
        # The client replaces what a link points to, but leaves the link, or a file in its place.
        with contextlib.suppress(OSError):
            damaged.unlink()

    def count(done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(name, done, total)

    for wait in (*RETRY_WAITS_SECONDS, None):
        try:
            with watched(Transfer(f"{entry.repo}/{name}", count)), _quiet_client():
                if entry.address:
                    return web.download(entry, name, anew=anew)
                path = huggingface_hub.hf_hub_download(
                    entry.repo,
                    name,
                    revision=entry.revision,
                    force_download=anew,
                    headers=web.UNCOMPRESSED,
                )
            return Path(path)
        except WeightsError:
            raise
        except Exception as failure:
            if wait is None or not _is_passing(failure):
                raise explained(entry, name, failure) from failure
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _is_passing(failure: Exception) -> bool:
    """Return whether a transfer may succeed when it is tried again."""
    if is_offline():
        return False
    if status := status_of(failure):
        return status >= 500
    # The client's library is requests, httpx or httpx2, as its version has it.
    kinds = {kind.__name__ for kind in type(failure).__mro__}
    if kinds & {"TransportError", "ChunkedEncodingError", "ConnectionError", "Timeout"}:
        return True
    return isinstance(failure, OSError) and "onsistency check" in str(failure)


@contextlib.contextmanager
def _quiet_client() -> Iterator[None]:
    """Keep the client's bars, warnings and telemetry out of the run; errors are explained here."""
    from huggingface_hub import constants
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    constants.HF_HUB_DISABLE_TELEMETRY = True
    shows_bars = not are_progress_bars_disabled(_CLIENT_BAR)
    if not os.environ.get("HF_HUB_VERBOSITY") and not constants.HF_DEBUG:
        logging.set_verbosity(CRITICAL)
        warnings.filterwarnings("ignore", category=UserWarning, module="huggingface_hub")
    disable_progress_bars(_CLIENT_BAR)
    try:
        yield
    finally:
        if shows_bars:
            enable_progress_bars(_CLIENT_BAR)
