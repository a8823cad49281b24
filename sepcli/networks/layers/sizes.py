"""Sizes that a network can be built with but not run, refused where its configuration is made."""

import dataclasses
from typing import Any


def check_sizes(config: Any, **least: int) -> None:
    """Refuse whole numbers of a configuration that are too small.

    Args:
        config: A dataclass.
        least: The least that some fields may be; 1 for all others.

    Raises:
        ValueError: A number is too small.
    """
    for field in dataclasses.fields(config):
        value, lowest = getattr(config, field.name), least.get(field.name, 1)
        if isinstance(value, int) and not isinstance(value, bool) and value < lowest:
            raise ValueError(f"{field.name} must be {lowest} or more: {value}")
