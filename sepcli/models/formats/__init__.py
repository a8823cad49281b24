"""Published checkpoint formats, one file each; all read data only.

A format exports `FILES`, what it needs of a repository (written as in an entry's `files`),
`describe(files)`, what the repository's own configuration says or None where the files are not of
this format, and `read(files, architecture)`, the state dict under the network's keys. `files` maps
names to paths.
"""

import importlib
import pkgutil
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sepcli.errors import ModelError
from sepcli.models.entry import did_you_mean
from sepcli.models.foreign import one_line

if TYPE_CHECKING:
    from sepcli.models.checkpoints import Description, State

# The order in which a repository of unknown format is tried: what is surest to tell comes first.
DETECTION_ORDER = ("speechbrain", "mixin", "srcorrnet", "clearvoice", "asteroid", "look2hear")


@dataclass(frozen=True)
class Format:
    """A format as the rest of the package sees it: whatever files cause is one line.

    Attributes:
        module: Its file in this folder.
        where: Whose files it is to read, for messages.
    """

    module: types.ModuleType
    where: str

    @property
    def config_files(self) -> tuple[str, ...]:
        """Return the names of the files by which a repository is known to have this format."""
        return cast("tuple[str, ...]", self.module.CONFIG_FILES)

    @property
    def files(self) -> tuple[str, ...]:
        """Return what is needed of such a repository, as an entry's `files` has it."""
        return cast("tuple[str, ...]", self.module.FILES)

    def describe(self, files: Mapping[str, Path]) -> "Description | None":
        """Return what the files say about their network; None where they have another format.

        Raises:
            WeightsError: They are damaged, unsafe, or not as their format has it.
        """
        with one_line(self.where):
            return cast("Description | None", self.module.describe(files))

    def read(self, files: Mapping[str, Path], architecture: str) -> "State":
        """Return the state dict under the network's keys.

        Raises:
            WeightsError: They are damaged, unsafe, or not as their format has it.
        """
        with one_line(self.where):
            return cast("State", self.module.read(files, architecture))


def load_format(name: str, *, where: str) -> Format:
    """Return a format by its name.

    Args:
        name: That of a file in this folder.
        where: Whose files it is to read, for messages.

    Raises:
        ModelError: There is none of this name.
    """
    known = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if name not in known:
        raise ModelError(f"unknown format of {where}: {name}", did_you_mean(name, known))
    return Format(importlib.import_module(f"{__name__}.{name}"), where)
