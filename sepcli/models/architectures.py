"""From the name of an architecture to its module under `sepcli.networks`, and to its `Config`.

A configuration is checked against the types of `Config` before anything is built from it.
"""

import importlib
import pkgutil
import types
from collections.abc import Mapping
from typing import Any, TypeVar

from sepcli import networks
from sepcli.errors import ModelError, did_you_mean
from sepcli.models.settings import from_table

C = TypeVar("C")


def architectures() -> list[str]:
    """Return the names of all architectures; imports none of them."""
    return sorted(
        module.name for module in pkgutil.iter_modules(networks.__path__) if not module.ispkg
    )


def load_architecture(architecture: str, *, where: str) -> types.ModuleType:
    """Return the module of an architecture.

    Args:
        architecture: Its name, that of a file in `sepcli/networks`.
        where: Whose it is, for messages.

    Raises:
        ModelError: There is none of this name.
    """
    known = architectures()
    if architecture not in known:
        raise ModelError(
            f"unknown architecture of {where}: {architecture}", did_you_mean(architecture, known)
        )
    return importlib.import_module(f"{networks.__name__}.{architecture}")


def make_config(architecture: str, values: Mapping[str, Any], *, where: str) -> Any:
    """Return the architecture's `Config` made of `values`, each checked against its type.

    Args:
        architecture: Module under `sepcli.networks`.
        values: Configuration by field name, as a TOML or JSON file holds it.
        where: Whose configuration it is, for messages.

    Raises:
        ModelError: A key is unknown or missing, or a value has a wrong type or is absurd.
    """
    return checked_config(load_architecture(architecture, where=where).Config, values, where=where)


def checked_config(config_class: type[C], values: Mapping[str, Any], *, where: str) -> C:
    """Return a `Config` made of `values`, each checked against its type.

    Args:
        config_class: A frozen dataclass of sizes.
        values: As for `make_config`.
        where: As for `make_config`.

    Raises:
        ModelError: As `make_config`.
    """
    try:
        return from_table(config_class, values, where=f"configuration of {where}")
    except (ValueError, TypeError, ArithmeticError) as problem:
        raise ModelError(f"wrong configuration of {where}: {problem}") from problem
