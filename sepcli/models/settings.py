"""Values of files that people write, each checked against the type of the field it becomes."""

import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from sepcli.models.foreign import shown

# No size of a published network comes near it; a product of two such sizes still fits 64 bits.
LARGEST_INTEGER = 2**20


def converted(value: Any, hint: Any) -> Any:
    """Return a value of a TOML, JSON or YAML file as the type of a dataclass's field.

    Lists become tuples, whole numbers floats where these are wanted, tables read-only.

    Args:
        value: As the file's parser gives it.
        hint: The field's type, from `typing.get_type_hints`.

    Raises:
        ValueError: It has another type or is absurd; the message reads after the field's name.
    """
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for choice in choices:
            try:
                return converted(value, choice)
            except ValueError as problem:
                last = problem
        raise last
    if origin is typing.Literal:
        if value not in choices or isinstance(value, bool) != isinstance(choices[0], bool):
            raise ValueError(f"must be one of {', '.join(map(str, choices))}, is {shown(value)}")
        return value
    if origin is tuple:
        return _converted_tuple(value, choices)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise ValueError(f"must be a table, is {shown(value)}")
        return types.MappingProxyType(value)
    if hint is types.NoneType:
        if value is not None:
            raise ValueError(f"must be absent, is {shown(value)}")
        return None
    return _converted_scalar(value, hint)


def _converted_tuple(value: Any, choices: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list, is {shown(value)}")
    if len(choices) == 2 and choices[1] is Ellipsis:
        choices = (choices[0],) * len(value)
    if len(value) != len(choices) or len(value) > 4096:
        raise ValueError(f"must have {min(len(choices), 4096)} items, has {len(value)}")
    return tuple(converted(item, choice) for item, choice in zip(value, choices, strict=True))


def _converted_scalar(value: Any, hint: Any) -> Any:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
    accepted = (int, float) if hint is float else hint
    if not isinstance(value, accepted) or isinstance(value, bool) != (hint is bool):
        raise ValueError(f"must be {names.get(hint, hint)}, is {shown(value)}")
    if hint is int and not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        raise ValueError(f"must be at most {LARGEST_INTEGER}, is {shown(value)}")
    if hint is float and not (abs(value) < 1e30 and math.isfinite(value)):
        raise ValueError(f"must be finite, is {shown(value)}")
    return float(value) if hint is float else value
