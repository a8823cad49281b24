"""Configurations of others: read as data, refused in one line, and never at a cost."""

import time
from pathlib import Path
from typing import Any

import pytest

from sepcli.errors import WeightsError
from sepcli.models.config_files import (
    LARGEST_TEXT_BYTES,
    MOST_NODES,
    Tagged,
    read_json,
    read_text,
    read_yaml,
    table_at,
    value_at,
)
from sepcli.models.foreign import DamagedFileError


def test_yaml_tags_stay_data(tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "h.yaml"
    path.write_text(
        f"a: !!python/object/apply:os.system ['touch {mark}']\n"
        f"b: !apply:os.system [touch {mark}]\n"
        "c: !new:package.Class\n    width: 8\n    inner: !ref <a>\n"
        "d: !name:os.system\n"
    )
    content = read_yaml(path)
    assert content["a"] == Tagged("python/object/apply:os.system", [f"touch {mark}"])
    assert content["c"].tag == "new:package.Class"
    assert content["c"].value == {"width": 8, "inner": Tagged("ref", "<a>")}
    assert content["d"] == Tagged("name:os.system", "")
    assert not mark.exists()


@pytest.mark.parametrize(
    "text",
    ["[" * 5000, "a: " * 3, "- 1", "a: [", "{a: 1}: 2", " " * 600 + "a: 1", "\0", "a: !!int x"],
)
def test_broken_yaml_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "h.yaml"
    path.write_text(text)
    with pytest.raises(WeightsError) as caught:
        read_yaml(path)
    assert "\n" not in caught.value.message


def test_yaml_may_be_nested_so_deep_and_no_deeper(tmp_path: Path) -> None:
    path = tmp_path / "h.yaml"
    path.write_text("a: " + "[" * 63 + "]" * 63 + "\nb: [" + "[], " * 200 + "]")
    assert len(read_yaml(path)["b"]) == 200
    for text in ("a: " + "[" * 64 + "]" * 64, "a: " + "[1, " * 64 + "]" * 64):
        path.write_text(text)
        with pytest.raises(WeightsError, match=r"h\.yaml: nested too deeply$"):
            read_yaml(path)


def test_yaml_may_be_indented_so_far_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "h.yaml"
    path.write_text("a:\n" + " " * 512 + "b: 1")
    assert read_yaml(path) == {"a": {"b": 1}}
    path.write_text("a:\n" + " " * 513 + "b: 1")
    with pytest.raises(WeightsError, match=r"h\.yaml: nested too deeply$"):
        read_yaml(path)


def test_what_is_wrong_with_a_configuration_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text("{")
    with pytest.raises(DamagedFileError) as caught:
        read_json(path)
    assert caught.value.message.startswith(f"file is damaged or of another kind: {path}: Expecting")
    path.write_bytes(b"\xff")
    with pytest.raises(DamagedFileError) as caught:
        read_text(path)
    assert caught.value.message.startswith(f"file is damaged or of another kind: {path}: 'utf-8'")
    path.write_text("a: [")
    with pytest.raises(DamagedFileError) as caught:
        read_yaml(path)
    assert caught.value.message.startswith(f"file is damaged or of another kind: {path}: while")
    path.write_text("[1]")
    for read in (read_json, read_yaml):
        with pytest.raises(WeightsError, match=r"^not a configuration: c\.json$"):
            read(path)


def test_yaml_that_laughs_a_billion_times_is_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    path = tmp_path / "h.yaml"
    path.write_text("\n".join(lines))
    began = time.process_time()
    with pytest.raises(WeightsError, match=f"more than {MOST_NODES} values"):
        read_yaml(path)
    assert time.process_time() - began < 1.0  # it takes 10 ms; a doubled list has 2^60 items
    path.write_text("a: &a [1, 2]\nb: {c: *a}\nd: &d [*d]")
    with pytest.raises(WeightsError, match="nested too deeply"):
        read_yaml(path)
    path.write_text("a: &a [1, 2]\nb: {c: *a}")
    assert read_yaml(path) == {"a": [1, 2], "b": {"c": [1, 2]}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8000", 8000),
        ("-3", -3),
        ("1.5e-4", 1.5e-4),
        ("1.0e-05", 1e-5),
        ("1e-5", 1e-5),
        (".5", 0.5),
        ("!!float 2", 2.0),
        ("True", True),
        ("no", False),
        ("null", None),
        ("", None),
        ("'8000'", "8000"),
        ("1:30", "1:30"),  # 90 to the base 60
        ("1:" * 4000 + "1", "1:" * 4000 + "1"),
        ("9" * 5000, "9" * 5000),
        ("0x1F", "0x1F"),
        ("2020-01-01", "2020-01-01"),
        ("!!timestamp x", Tagged("timestamp", "x")),
        (".nan", ".nan"),
        ("=", "="),
    ],
)
def test_a_scalar_of_yaml(tmp_path: Path, text: str, value: Any) -> None:
    path = tmp_path / "h.yaml"
    path.write_text(f"a: {text}")
    found = read_yaml(path)["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text", ["!!int ''", "!!int 1:30", "!!float x", "!!bool 3", "{<<: {b: 1}}", "{[b]: 1}", "*b"]
)
def test_an_odd_scalar_a_merge_and_a_key_that_is_no_word_are_refused(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "h.yaml"
    path.write_text(f"a: {text}")
    with pytest.raises(DamagedFileError) as caught:
        read_yaml(path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("text", ["[" * 100_000, "[1]", "{", "3", ""])
def test_broken_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(WeightsError):
        read_json(path)


def test_a_configuration_file_is_small_text(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(b" " * (LARGEST_TEXT_BYTES + 1))
    with pytest.raises(WeightsError, match="too large"):
        read_json(path)
    path.write_bytes(b"\xff")
    with pytest.raises(DamagedFileError):
        read_json(path)
    path.write_text('{"a": 1}')
    assert read_json(path) == {"a": 1}


def test_places_where_nothing_lies_are_empty() -> None:
    content = {"a": {"b": {"c": 1}}, "d": [2]}
    assert value_at(content, "a.b.c") == 1
    assert table_at(content, "a.b") == {"c": 1}
    for place in ("a.x", "a.b.c.d", "d.0", "x.y"):
        assert value_at(content, place) is None
        assert table_at(content, place) == {}
    assert table_at(content, "d") == {}
    assert value_at(None, "a") is None
