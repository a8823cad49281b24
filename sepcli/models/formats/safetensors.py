"""What `sepcli train` writes: one file with the network's own state-dict keys.

Matrices may be whole numbers of 8 bits. A folder's `model.toml` says all else, so the files
themselves describe nothing.
"""

from collections.abc import Mapping
from pathlib import Path

from sepcli.models.checkpoints import Description, State, read_state
from sepcli.models.quantise import dequantised

CONFIG_FILES = ("model.toml",)
FILES = ("model.safetensors",)


def describe(files: Mapping[str, Path]) -> Description | None:
    """Return an empty description: the entry says everything."""
    return Description()


def read(files: Mapping[str, Path], architecture: str) -> State:
    """Return the tensors of all weight files, by the network's keys; those of 8 bits as float32.

    Raises:
        WeightsError: A file is damaged or holds something else than tensors, or
            matrices of 8 bits without a scale for each row.
    """
    state: State = {}
    for name, path in files.items():
        if name not in CONFIG_FILES:
            state |= read_state(path)
    return dequantised(state)
