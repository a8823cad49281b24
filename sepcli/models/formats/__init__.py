"""Published checkpoint formats, one file each; all read data only.

A format exports `FILES`, what it needs of a repository (written as in an entry's `files`),
`describe(files)`, what the repository's own configuration says or None where the files are not of
this format, and `read(files, architecture)`, the state dict under the network's keys. `files` maps
names to paths.
"""

import importlib
import pkgutil
import types
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from sepcli.errors import ModelError, WeightsError, did_you_mean
from sepcli.models.foreign import one_line

if TYPE_CHECKING:
    from sepcli.models.checkpoints import Description, State

# The order in which a repository of unknown format is tried: what is surest to tell comes first.
DETECTION_ORDER = ("speechbrain", "mixin", "srcorrnet", "clearvoice", "asteroid", "look2hear")
_SHOWN = 40  # characters of a value in a message


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


def config_among(files: Mapping[str, Path], names: Collection[str]) -> Path | None:
    """Return the first file of one of these names, in whatever folder; None if there is none."""
    return next((path for name, path in files.items() if PurePosixPath(name).name in names), None)


def first_file(files: Mapping[str, Path]) -> Path:
    """Return the file of a model that has one, which holds weights and arguments."""
    return next(iter(files.values()))


def weights_beside(files: Mapping[str, Path], names: Collection[str]) -> Path:
    """Return the one file that has none of these names.

    Args:
        files: Of a model.
        names: Of configuration files, without their folders.

    Raises:
        WeightsError: There is another number of them.
    """
    weights = [path for name, path in files.items() if PurePosixPath(name).name not in names]
    if len(weights) != 1:
        raise WeightsError(f"not one file of weights but {len(weights)}")
    return weights[0]


def renamed(
    said: Mapping[str, Any],
    names: Mapping[str, str],
    values: Mapping[str, Mapping[str, Any]] = types.MappingProxyType({}),
) -> dict[str, Any]:
    """Return arguments under our names; those that have none here are no matter of inference.

    Args:
        said: Arguments that a file gives.
        names: Their published names → ours.
        values: Published name → published values → ours, where these differ.
    """
    known = {key: said[key] for key in names if key in said}
    return {
        names[key]: values.get(key, {}).get(value, value) if isinstance(value, str) else value
        for key, value in known.items()
    }


def require(file: str, said: Mapping[str, Any], supported: Mapping[str, Any]) -> None:
    """Refuse a variant of a network that is not built here.

    Args:
        file: Name of the configuration file, for the message.
        said: Arguments that it gives.
        supported: Argument → its one value that is built here; the file may leave it out.

    Raises:
        WeightsError: An argument has another value.
    """
    for key, value in supported.items():
        if said.get(key, value) != value:
            raise WeightsError(
                f"{file} asks for a variant that is not built here: "
                f"{key} = {ascii(said[key])[:_SHOWN]}, not {ascii(value)[:_SHOWN]}"
            )


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
