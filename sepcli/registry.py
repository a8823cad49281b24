"""The table of models: models.toml files read into frozen entries; no torch import.

Built-in entries come from `models.toml` beside the package, a user's own from the platform's
configuration folder, a folder's from the `model.toml` inside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """One model: which architecture, which weights, and all that is known about them.

    Attributes:
        name: Name on the command line.
        architecture: Module under `sepcli.networks`.
        format: Module under `sepcli.formats` that reads the weight files.
        files: Weight files, relative to the repository or folder.
        speakers: Number of estimates the network gives.
        sample_rate: The network's rate [Hz].
        config: Passed to the architecture's `Config`; an unknown key is an error.
        repo: Repository on the Hugging Face hub; empty for folders and built-in weights.
        revision: Branch, tag or 40-hex commit of `repo`.
        fallback: Entry used, and said, where the repository does not hold the files any more.
        folder: Folder that holds the weight files; None for hub repositories.
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
        download_bytes: Sum of the sizes of `files`.
        sha256: Hex digest by file, where known.
        note: One line worth knowing, shown by `sepcli info NAME`.
    """

    name: str
    architecture: str
    format: str
    files: tuple[str, ...]
    speakers: int
    sample_rate: int
    config: Mapping[str, Any] = _EMPTY
    repo: str = ""
    revision: str = "main"
    fallback: str = ""
    folder: Path | None = None
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
    download_bytes: int = 0
    sha256: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    note: str = ""
