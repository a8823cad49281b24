"""Values as files hold them; most are tested through `make_config` and `read_recipe`."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from sepcli.models.settings import converted


def test_a_table_can_only_be_read() -> None:
    table = converted({"a": 0.5}, Mapping[str, float])
    assert dict(table) == {"a": 0.5}
    with pytest.raises(TypeError):
        table["a"] = 1.0
    with pytest.raises(ValueError, match="'a' must be a number, is 'x'"):
        converted({"a": "x"}, Mapping[str, float])
    with pytest.raises(ValueError, match="must be a table, is 3"):
        converted(3, Mapping[str, float])


@dataclass(frozen=True)
class Inner:
    size: int = 1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("size must be 1 or more")


def test_a_dataclass_within_another_is_a_table() -> None:
    assert converted({"size": 3}, Inner) == Inner(3)
    with pytest.raises(ValueError, match="must be a table, is 3"):
        converted(3, Inner)
    with pytest.raises(ValueError, match="is wrong: unknown key in its table: sise"):
        converted({"sise": 3}, Inner)
    with pytest.raises(
        ValueError, match="is wrong: wrong value in its table: size must be a whole"
    ):
        converted({"size": "x"}, Inner)
    with pytest.raises(ValueError, match="is wrong: size must be 1 or more"):
        converted({"size": 0}, Inner)
