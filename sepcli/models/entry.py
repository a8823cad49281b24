"""One model's entry: what a section of models.toml may say, checked and frozen; no torch import."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Literal

from sepcli.errors import ModelError
from sepcli.models.foreign import shown
from sepcli.models.settings import from_table

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the files of a model lie, and how they are known to be the right ones.

    Attributes:
        name: Name on the command line.
        files: Files of the repository or folder that hold weights and configuration. `A|B` takes
            A, or B where there is no A; a trailing `?` marks a file that may be absent.
        repo: Repository on the Hugging Face hub; empty for folders and built-in weights.
        revision: Branch, tag or 40-hex commit of `repo`.
        address: Where a file is on the web, with {repo}, {revision} and {file} to fill in; empty
            for the hub. `repo` and `revision` then only name the files in the cache.
        folder: Folder that holds the weight files; None for hub repositories.
        download_bytes: Sum of the sizes of `files`.
        sha256: Hex digest by file, where known.
    """

    name: str
    files: tuple[str, ...]
    repo: str = ""
    revision: str = "main"
    address: str = ""
    folder: Path | None = None
    download_bytes: int = 0
    sha256: Mapping[str, str] = field(default_factory=lambda: _EMPTY)


@dataclass(frozen=True, kw_only=True)
class ModelEntry(Source):
    """One separator: which architecture, which weights, and all that is known about them.

    Attributes:
        architecture: Module under `sepcli.networks`.
        format: Module under `sepcli.models.formats` that reads the weight files.
        speakers: Number of estimates the network gives.
        sample_rate: The network's rate [Hz].
        config: Passed to the architecture's `Config`; an unknown key is an error.
        fallback: Entry used, and said, where the repository does not hold the files any more.
        builtin: Whether the weights come inside the package.
        chunk_seconds: Length of a chunk [s].
        overlap_seconds: Overlap of neighbouring chunks [s].
        level: `"fit"` scales estimates to best explain the mixture; `"as-is"` leaves them.
        license: SPDX identifier of the weights' licence.
        paper: Address of the paper.
        trained_on: Training data.
        scores: Scores by name, e.g. `{"WSJ0-2mix SI-SDRi": 22.1}` [dB].
        parameters: Number of trainable parameters.
        macs_per_second: Multiply-accumulates per second of audio, measured on 4 s.
        note: One line worth knowing, shown by `sepcli info NAME`.
    """

    architecture: str
    format: str
    speakers: int
    sample_rate: int
    config: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    fallback: str = ""
    builtin: bool = False
    chunk_seconds: float = 8.0
    overlap_seconds: float = 2.0
    level: Literal["fit", "as-is"] = "fit"
    license: str = ""
    paper: str = ""
    trained_on: str = ""
    scores: Mapping[str, float] = field(default_factory=lambda: _EMPTY)
    parameters: int = 0
    macs_per_second: int = 0
    note: str = ""


_LARGEST = 2**53  # bytes of a file are more than any size of a network
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
LONGEST_CHUNK_SECONDS = 86_400.0  # a day
_LIMITS = {"speakers": (1, 64), "sample_rate": (1_000, 384_000)}


def make_entry(
    name: str,
    body: Mapping[str, Any],
    *,
    source: str,
    folder: Path | None = None,
    builtin: bool = False,
) -> ModelEntry:
    """Return the checked entry of a table's section.

    Args:
        name: Name on the command line.
        body: Keys and values as parsed from TOML.
        source: Where they come from, for messages.
        folder: Folder that holds the weights; None for hub repositories.
        builtin: Whether the weights come inside the package.

    Raises:
        ModelError: A key is unknown or missing, or a value is wrong.
    """
    where = f"model entry {name} of {source}"
    place = {"name": name, "folder": folder, "builtin": builtin}
    entry = from_table(ModelEntry, body, where=where, given=place, largest=_LARGEST)
    _check_values(entry, body, where)
    if folder is None and not entry.repo:
        raise ModelError(
            f"missing key in {where}: repo", "add the hub repository: repo = `ORG/NAME`"
        )
    return entry


def check_repo(repo: str) -> str:
    """Return `repo` if it has the shape ORG/NAME of a hub repository.

    Raises:
        ModelError: It has not.
    """
    if not _REPO.fullmatch(repo) or ".." in repo:
        raise ModelError(f"not a repository of the hub: {repo}", "write it as hf:ORG/NAME")
    return repo


def _check_values(entry: ModelEntry, body: Mapping[str, Any], where: str) -> None:
    """Refuse values of the right type that make no sense."""
    for file in entry.files:
        check_file_name(file, where)
    if not entry.files:
        raise ModelError(f"wrong value in {where}: files is empty")
    for key, (low, high) in _LIMITS.items():
        if not low <= body[key] <= high:
            raise ModelError(
                f"wrong value in {where}: {key} must be {low} to {high}, is {body[key]}"
            )
    for key in ("architecture", "format"):
        if not body[key].isidentifier():
            raise ModelError(f"wrong value in {where}: {key} is {shown(body[key])}")
    chunk, overlap = entry.chunk_seconds, entry.overlap_seconds
    if not 0.0 <= overlap < chunk < 1e6:
        raise ModelError(
            f"wrong value in {where}: overlap_seconds is {overlap}, chunk_seconds is {chunk}",
            "make the overlap shorter than the chunk",
        )
    if "repo" in body:
        check_repo(entry.repo)
    if "address" in body:
        _check_address(entry, where)


def _check_address(entry: ModelEntry, where: str) -> None:
    """Refuse an address that names no file, and files that only their server vouches for."""
    if not entry.repo:
        raise ModelError(f"missing key in {where}: repo", "name the files in the cache: ORG/NAME")
    try:
        filled = entry.address.format(repo="a/b", revision="main", file="w.pth")
    except (KeyError, IndexError, ValueError):
        filled = ""
    if not filled.startswith(("https://", "http://")) or "w.pth" not in filled:
        raise ModelError(
            f"wrong value in {where}: address is {shown(entry.address)}",
            "write it as https://HOST/{repo}/{revision}/{file}",
        )
    if not re.fullmatch(r"\w[\w.-]*", entry.revision):
        raise ModelError(f"wrong value in {where}: revision is {shown(entry.revision)}")
    unknown = [file for file in entry.files if file not in entry.sha256]
    if unknown:
        raise ModelError(
            f"missing sha256 in {where}: {unknown[0]}", "files at an address need their digests"
        )


def alternatives(spec: str) -> list[str]:
    """Return the names that `A|B?` of an entry's `files` stands for, best first."""
    return spec.removesuffix("?").split("|")


def check_file_name(file: str, where: str) -> None:
    """Refuse a file name that leaves its repository or folder.

    Raises:
        ModelError: It is no relative path without `..`.
    """
    for name in alternatives(file):
        path = PurePosixPath(name)
        outside = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name
        if not name or outside or not name.isprintable():
            raise ModelError(f"wrong value in {where}: file name {shown(file)}")
