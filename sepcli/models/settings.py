"""From a table that somebody wrote to a dataclass: model entries, configurations, recipes.

Each value is checked against the type of its field.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

from sepcli.errors import ModelError, SepcliError, did_you_mean
from sepcli.models.foreign import shown

T = TypeVar("T")

# No size of a published network comes near it; a product of two such sizes still fits 64 bits.
LARGEST_SIZE = 2**20


def from_table(
    kind: type[T],
    table: Mapping[str, Any],
    *,
    where: str,
    given: Mapping[str, Any] = types.MappingProxyType({}),
    largest: int = LARGEST_SIZE,
    error: type[SepcliError] = ModelError,
) -> T:
    """Return a dataclass made of a table, each value checked against the type of its field.

    Args:
        kind: The dataclass.
        table: Values by field name, as the parser of a TOML, JSON or YAML file gives them.
        where: What the table is, for messages, as in "unknown key in ...".
        given: Fields that do not come from the table, and may not stand in it.
        largest: Bound of whole numbers.
        error: Class of what is raised.

    Raises:
        SepcliError: Of class `error`: a key is unknown or missing, or a value is wrong.
        ValueError: The dataclass itself refuses the values.
    """
    known = _hints_of(kind)  # type: ignore[arg-type]
    hints = {key: hint for key, hint in known.items() if key not in given}
    values = {}
    for key, value in table.items():
        if key not in hints:
            raise error(f"unknown key in {where}: {key}", did_you_mean(key, hints))
        try:
            values[key] = converted(value, hints[key], largest)
        except ValueError as problem:
            raise error(f"wrong value in {where}: {key} {problem}") from None
    for item in dataclasses.fields(kind):  # type: ignore[arg-type]
        required = item.default is item.default_factory is dataclasses.MISSING
        if required and item.name in hints and item.name not in values:
            raise error(f"missing key in {where}: {item.name}", f"add a line `{item.name} = ...`")
    return kind(**values, **given)


@functools.cache
def _hints_of(kind: Hashable) -> dict[str, Any]:
    """Return the types of a dataclass's fields, evaluated once for all entries."""
    return typing.get_type_hints(kind)


def converted(value: Any, hint: Any, largest: int = LARGEST_SIZE) -> Any:
    """Return a value of a TOML, JSON or YAML file as the type of a dataclass's field.

    Lists become tuples, whole numbers floats where these are wanted, tables read-only.

    Args:
        value: As the file's parser gives it.
        hint: The field's type, from `typing.get_type_hints`.
        largest: Bound of whole numbers.

    Raises:
        ValueError: It has another type or is absurd; the message reads after the field's name.
    """
    if hint is Any:
        return _frozen(value)
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for choice in choices:
            try:
                return converted(value, choice, largest)
            except ValueError as problem:
                last = problem
        raise last
    if origin is typing.Literal:
        if value not in choices or isinstance(value, bool) != isinstance(choices[0], bool):
            raise ValueError(f"must be one of {', '.join(map(str, choices))}, is {shown(value)}")
        return value
    if dataclasses.is_dataclass(hint):
        return _converted_dataclass(value, hint, largest)
    if origin is tuple:
        return _converted_tuple(value, choices, largest)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _converted_table(value, choices[1], largest)
    if hint is types.NoneType:
        if value is not None:
            raise ValueError(f"must be absent, is {shown(value)}")
        return None
    return _converted_scalar(value, hint, largest)


def _converted_tuple(value: Any, choices: tuple[Any, ...], largest: int) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list, is {shown(value)}")
    if len(choices) == 2 and choices[1] is Ellipsis:
        choices = (choices[0],) * len(value)
    if len(value) != len(choices) or len(value) > 4096:
        raise ValueError(f"must have {min(len(choices), 4096)} items, has {len(value)}")
    return tuple(
        converted(item, choice, largest) for item, choice in zip(value, choices, strict=True)
    )


def _converted_dataclass(value: Any, hint: Any, largest: int) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a table, is {shown(value)}")
    try:
        return from_table(hint, value, where="its table", largest=largest)
    except (ModelError, ValueError) as problem:
        raise ValueError(f"is wrong: {problem}") from None


def _converted_table(value: Any, hint: Any, largest: int) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a table, is {shown(value)}")
    items = {}
    for key, item in value.items():
        try:
            items[key] = converted(item, hint, largest)
        except ValueError as problem:
            raise ValueError(f"{shown(key)} {problem}") from None
    return types.MappingProxyType(items)


def _converted_scalar(value: Any, hint: Any, largest: int) -> Any:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
    accepted = (int, float) if hint is float else hint
    if not isinstance(value, accepted) or isinstance(value, bool) != (hint is bool):
        raise ValueError(f"must be {names.get(hint, hint)}, is {shown(value)}")
    if hint is int and not -largest <= value <= largest:
        raise ValueError(f"must be at most {largest}, is {shown(value)}")
    if hint is float and not (abs(value) < 1e30 and math.isfinite(value)):
        raise ValueError(f"must be finite, is {shown(value)}")
    return float(value) if hint is float else value


def _frozen(value: Any) -> Any:
    """Return a value of any type with its lists as tuples and its tables read-only."""
    if isinstance(value, Mapping):
        return types.MappingProxyType({key: _frozen(item) for key, item in value.items()})
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    return value
