"""Configuration files beside weights, JSON and YAML, read as plain data; no torch import.

Of YAML only what configurations are written in is understood: mappings, lists, and scalars that are
text, numbers, true, false or nothing. Tags stay inert beside their values, there are no merges, no
dates and no numbers to the base 60, and what aliases stand for is counted before it is copied.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from sepcli.errors import WeightsError
from sepcli.models.foreign import damaged

LARGEST_TEXT_BYTES = 2**20  # published files have a few kB
DEEPEST_NESTING = 64
MOST_NODES = 20_000  # of a YAML file, with what its aliases stand for

_STANDARD = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?([0-9]{1,18}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][-+]?[0-9]{1,4})?")
_WORDS: MappingProxyType[str, Any] = MappingProxyType(
    {
        **dict.fromkeys(("", "~", "null", "Null", "NULL")),
        **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
        **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
    }
)


@dataclass(frozen=True)
class Tagged:
    """A YAML value with its tag, such as `!new:package.Class`, which nothing ever looks up."""

    tag: str
    value: Any


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        DamagedFileError: It is not JSON.
        WeightsError: It is too large or holds no object.
    """
    return _read(path, json.loads)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; a tag only becomes a `Tagged` beside its value.

    Raises:
        DamagedFileError: It is not YAML, or none that a configuration is written in.
        WeightsError: It is too large, or holds no mapping.
    """
    return _read(path, _parse_yaml)


def read_text(path: Path) -> str:
    """Return the text of a small file.

    Raises:
        DamagedFileError: It is not UTF-8.
        WeightsError: It cannot be read or is too large for what it is.
    """
    try:
        if path.stat().st_size > LARGEST_TEXT_BYTES:
            raise WeightsError(f"too large for a configuration file: {path.name}")
        return path.read_text(encoding="utf-8")
    except OSError as cause:
        raise WeightsError(f"cannot read {path}: {cause.strerror}") from cause
    except UnicodeDecodeError as cause:
        raise damaged(path, cause) from cause


def value_at(content: Any, place: str) -> Any:
    """Return what lies at a place, `key.key.key`; None where nothing does."""
    for key in place.split("."):
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def table_at(content: Any, place: str) -> Mapping[str, Any]:
    """Return the table at a place, `key.key.key`; empty where there is none."""
    value = value_at(content, place)
    return value if isinstance(value, Mapping) else {}


def _read(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    text = read_text(path)
    try:
        content = parse(text)
    except Exception as cause:  # the reader of a broken file may raise nearly anything
        raise damaged(path, cause) from cause
    if not isinstance(content, dict):
        raise WeightsError(f"not a configuration: {path.name}")
    return content


def _parse_yaml(text: str) -> Any:
    deepest = DEEPEST_NESTING * 8  # columns; the scanner takes time for each one
    if any(len(line) - len(line.lstrip(" ")) > deepest for line in text.splitlines()):
        raise ValueError("nested too deeply")
    node = yaml.compose(text, Loader=_Composer)
    if node is None:
        return None
    _check_size(node, {}, 0)
    return _value(node)


class _Composer(yaml.BaseLoader):
    """Composes nodes no deeper nested than configurations are."""

    nesting = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node with what lies in it."""
        self.nesting += 1
        if self.nesting > DEEPEST_NESTING:
            raise ValueError("nested too deeply")
        node = super().compose_node(parent, index)
        self.nesting -= 1
        return node


def _check_size(node: yaml.Node, sizes: dict[int, int], depth: int) -> int:
    """Return how many nodes a node stands for, with those that aliases in it repeat.

    Raises:
        ValueError: They are too many, nested too deeply, or a node lies in itself.
    """
    if depth >= DEEPEST_NESTING:
        raise ValueError("nested too deeply")
    if id(node) not in sizes:
        below = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            below = [item for pair in node.value for item in pair]
        sizes[id(node)] = 1 + sum(_check_size(item, sizes, depth + 1) for item in below)
    if sizes[id(node)] > MOST_NODES:
        raise ValueError(f"more than {MOST_NODES} values")
    return sizes[id(node)]


def _value(node: yaml.Node) -> Any:
    """Return the value of a node; a tag that is no plain type's stays beside it."""
    value: Any
    if isinstance(node, yaml.MappingNode):
        value = {_key(key): _value(item) for key, item in node.value}
    elif isinstance(node, yaml.SequenceNode):
        value = [_value(item) for item in node.value]
    else:
        assert isinstance(node, yaml.ScalarNode)
        return _scalar(node)
    if node.tag in (f"{_STANDARD}map", f"{_STANDARD}seq"):
        return value
    return Tagged(node.tag.removeprefix("!").removeprefix(_STANDARD), value)


def _key(node: yaml.Node) -> Any:
    if node.value == "<<" or not isinstance(node, yaml.ScalarNode):
        raise ValueError("a key that is no plain word, or a merge")
    return _value(node)


def _scalar(node: yaml.ScalarNode) -> Any:
    """Return text, a number, true, false or None; a tag of another kind stays beside the text."""
    text = node.value
    kind = node.tag.removeprefix(_STANDARD)
    if kind not in ("str", "int", "float", "bool", "null"):
        return Tagged(kind.removeprefix("!"), text)
    if kind == "str" and node.style is not None:  # quoted
        return text
    value = _plain(text)
    names = {"int": int, "float": int | float, "bool": bool, "null": type(None)}
    if kind in names and not isinstance(value, names[kind]):
        raise ValueError(f"not of its type: {text[:40]!r}")
    return float(value) if kind == "float" else value


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
