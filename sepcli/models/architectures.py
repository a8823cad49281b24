"""From the name of an architecture to its module under `sepcli.networks`, and to its `Config`.

A configuration is checked against the types of `Config` before anything is built from it.
"""

import dataclasses
import importlib
import math
import pkgutil
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from sepcli import networks
from sepcli.errors import ModelError
from sepcli.models.entry import did_you_mean

C = TypeVar("C")

# No published network comes near it; a product of two such sizes still fits 64 bits.
LARGEST_INTEGER = 2**20


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
    hints = typing.get_type_hints(config_class)
    checked = {}
    for key, value in values.items():
        if key not in hints:
            raise ModelError(
                f"unknown configuration key of {where}: {key}", did_you_mean(key, hints)
            )
        try:
            checked[key] = _converted(value, hints[key])
        except ValueError as problem:
            raise ModelError(f"wrong configuration of {where}: {key} {problem}") from None
    for item in dataclasses.fields(config_class):  # type: ignore[arg-type]
        required = item.default is dataclasses.MISSING
        if required and item.default_factory is dataclasses.MISSING and item.name not in checked:
            raise ModelError(f"missing configuration key of {where}: {item.name}")
    try:
        return config_class(**checked)
    except (ValueError, TypeError, ArithmeticError) as problem:
        raise ModelError(f"wrong configuration of {where}: {problem}") from problem


def _converted(value: Any, hint: Any) -> Any:
    """Return `value` as the type of a field: lists become tuples, whole numbers floats."""
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for choice in choices:
            try:
                return _converted(value, choice)
            except ValueError as problem:
                last = problem
        raise last
    if origin is typing.Literal:
        if value not in choices or isinstance(value, bool) != isinstance(choices[0], bool):
            raise ValueError(f"must be one of {', '.join(map(str, choices))}, is {_shown(value)}")
        return value
    if origin is tuple:
        return _converted_tuple(value, choices)
    if hint is types.NoneType:
        if value is not None:
            raise ValueError(f"must be absent, is {_shown(value)}")
        return None
    return _converted_scalar(value, hint)


def _converted_tuple(value: Any, choices: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list, is {_shown(value)}")
    if len(choices) == 2 and choices[1] is Ellipsis:
        choices = (choices[0],) * len(value)
    if len(value) != len(choices) or len(value) > 4096:
        raise ValueError(f"must have {min(len(choices), 4096)} items, has {len(value)}")
    return tuple(_converted(item, choice) for item, choice in zip(value, choices, strict=True))


def _converted_scalar(value: Any, hint: Any) -> Any:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
    accepted = (int, float) if hint is float else hint
    if not isinstance(value, accepted) or isinstance(value, bool) != (hint is bool):
        raise ValueError(f"must be {names.get(hint, hint)}, is {_shown(value)}")
    if hint is int and not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        raise ValueError(f"must be at most {LARGEST_INTEGER}, is {_shown(value)}")
    if hint is float and not (abs(value) < 1e30 and math.isfinite(value)):
        raise ValueError(f"must be finite, is {_shown(value)}")
    return float(value) if hint is float else value


def _shown(value: Any) -> str:
    """Return a value for a message, one short line however large or nested it is."""
    if isinstance(value, list | tuple | Mapping):
        return f"a {type(value).__name__} of {len(value)}"
    text = ascii(value) if not isinstance(value, int) or abs(value) < 10**18 else "beyond 10^18"
    return text if len(text) <= 60 else text[:57] + "..."
