"""Checkpoints of ClearVoice (MossFormer2): a pointer file and the training checkpoint it names.

`last_best_checkpoint` holds a file name. The file is a dict whose `model` is the state dict, or the
bare state dict; its keys may start with `module.`. The rest is the optimiser's and is dropped.
"""

from collections.abc import Mapping
from pathlib import Path

from sepcli.errors import WeightsError
from sepcli.models.checkpoints import Description, State, as_state, read_torch
from sepcli.models.config_files import read_text
from sepcli.models.foreign import shown

CONFIG_FILES = ("last_best_checkpoint",)
FILES = ("last_best_checkpoint", "last_best_checkpoint.pt")
_PREFIX = "module."


def describe(files: Mapping[str, Path]) -> Description | None:
    """Return the architecture; such a repository says nothing about its network's sizes."""
    return Description(architecture="mossformer2")


def read(files: Mapping[str, Path], architecture: str) -> State:
    """Return the state dict of the file that the pointer names.

    Raises:
        WeightsError: The pointer names none of the entry's files, or that one is damaged or unsafe.
    """
    pointer = read_text(files["last_best_checkpoint"]).strip()
    if pointer not in files or pointer == "last_best_checkpoint":
        raise WeightsError(
            f"last_best_checkpoint names a file that is not the model's: {shown(pointer)}",
            "list that file under files in the model's entry",
        )
    content = read_torch(files[pointer])
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    state = as_state(content, files[pointer])
    return {key.removeprefix(_PREFIX): tensor for key, tensor in state.items()}
