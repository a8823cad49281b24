"""Values as files hold them; most are tested through `make_config` and `read_recipe`."""

from collections.abc import Mapping

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
