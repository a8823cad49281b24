"""Published checkpoint formats, one file each; all read data only.

A format exports `FILES`, what it needs of a repository (written as in an entry's `files`),
`describe(files)`, what the repository's own configuration says or None where the files are not of
this format, and `read(files, architecture)`, the state dict under the network's keys. `files` maps
names to paths.
"""

import importlib
import pkgutil
import types

from sepcli.errors import ModelError
from sepcli.models.entry import did_you_mean

# The order in which a repository of unknown format is tried: what is surest to tell comes first.
DETECTION_ORDER = ("speechbrain", "mixin", "srcorrnet", "clearvoice", "asteroid", "look2hear")


def load_format(name: str, *, where: str) -> types.ModuleType:
    """Return the module of a format.

    Args:
        name: Its name, that of a file in this folder.
        where: Whose it is, for messages.

    Raises:
        ModelError: There is none of this name.
    """
    known = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if name not in known:
        raise ModelError(f"unknown format of {where}: {name}", did_you_mean(name, known))
    return importlib.import_module(f"{__name__}.{name}")
