"""The table of models: models.toml files read into frozen entries; no torch import.

Published models are in `models.toml`, at the top of a checkout or inside a wheel's package,
built-in ones in `data/networks/NAME/model.toml`, the user's own in `models.toml` of the platform's
configuration folder. Later sources win where two name the same model. A model folder has its entry
in the `model.toml` inside it.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sepcli.errors import ModelError, did_you_mean
from sepcli.models.entry import ModelEntry, make_entry

MODEL_FILE = "model.toml"  # describes the weights of the folder it lies in
LISTING = "run `sepcli info` for the known models"
DEFAULT_MODEL = "ensemble-16k"  # what `--model` means where it is not given
HUB_PREFIX = "hf:"  # what a model name starts with that is a hub repository

_PACKAGE = Path(__file__).parents[1]
_INSIDE = Path(__file__).parent / "data" / "networks"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def load_entries() -> dict[str, ModelEntry]:
    """Return every known entry by name: the table's, those inside the package, the user's own.

    Raises:
        ModelError: A file cannot be parsed or an entry in it is wrong.
    """
    entries = dict(_packaged(_table_path(), _INSIDE))
    user_file = user_table_path()
    if user_file.is_file():
        entries.update(_read_table(user_file))
    for entry in entries.values():
        if entry.fallback and entry.fallback not in entries:
            raise ModelError(
                f"fallback of model {entry.name} is unknown: {entry.fallback}",
                did_you_mean(entry.fallback, entries),
            )
    return entries


@cache
def _packaged(table: Path, inside: Path) -> Mapping[str, ModelEntry]:
    """Return the entries that come with the package; its files are read once."""
    entries = _read_table(table)
    for file in sorted(inside.glob(f"*/{MODEL_FILE}")):
        entry = entry_from_folder(file.parent, builtin=True)
        entries[entry.name] = entry
    return MappingProxyType(entries)


def list_models() -> list[str]:
    """Return the names that `--model` takes: published models, built-in ones, the user's own.

    Raises:
        ModelError: A table of models cannot be parsed, or an entry in it is wrong.
    """
    return list(load_entries())


def find_entry(name: str) -> ModelEntry:
    """Return the entry called `name`.

    Raises:
        ModelError: There is none; the hint names the closest ones.
    """
    entries = load_entries()
    if name in entries:
        return entries[name]
    raise ModelError(f"unknown model: {name}", did_you_mean(name, entries, LISTING))


def complete_model(incomplete: str) -> list[str]:
    """Return the model names that start with `incomplete`, for the shell's completion."""
    try:
        return [name for name in list_models() if name.startswith(incomplete)]
    except ModelError:  # a shell has no place to show it; the command itself will
        return []


def entry_from_folder(folder: Path, *, builtin: bool = False) -> ModelEntry:
    """Return the entry of a folder that holds `model.toml` beside its weight files.

    Raises:
        ModelError: There is no `model.toml`, or it is wrong.
    """
    file = folder / MODEL_FILE
    if not folder.is_dir():
        raise ModelError(f"no such model folder: {folder}", LISTING)
    if not file.is_file():
        raise ModelError(
            f"no {MODEL_FILE} in model folder: {folder}",
            f"write {MODEL_FILE} beside the weights as the README describes",
        )
    body = read_toml(file)
    if "repo" in body:
        raise ModelError(f"a model folder's {MODEL_FILE} may not have the key repo: {file}")
    name = folder.name if builtin else str(folder)
    return make_entry(name, body, source=str(file), folder=folder, builtin=builtin)


def chosen_model() -> str:
    """Return the model of SEPCLI_MODEL, or of the user's config.toml; empty where neither says one.

    Raises:
        ModelError: config.toml cannot be read, or holds something else.
    """
    if named := os.environ.get("SEPCLI_MODEL", ""):
        return os.path.expanduser(named)  # noqa: PTH111 (a name, perhaps of a folder)
    file = _user_folder() / "config.toml"
    if not file.is_file():
        return ""
    content = read_toml(file)
    for key, value in content.items():
        if key != "model" or not isinstance(value, str):
            raise ModelError(f"unknown setting in {file}: {key} = {value}", 'write: model = "NAME"')
    return os.path.expanduser(str(content.get("model", "")))  # noqa: PTH111


def user_table_path() -> Path:
    """Return where the user's own entries are read from."""
    return _user_folder() / "models.toml"


def _user_folder() -> Path:
    import platformdirs  # here: nothing but this needs it

    return platformdirs.user_config_path("sepcli")


def _table_path() -> Path:
    """Return the table of published models: inside a wheel, or at the top of a checkout."""
    inside = _PACKAGE / "models.toml"
    return inside if inside.is_file() else _PACKAGE.parent / "models.toml"


def _read_table(file: Path) -> dict[str, ModelEntry]:
    entries = {}
    for name, body in read_toml(file).items():
        if not isinstance(body, dict):
            raise ModelError(f"key outside of a model entry in {file}: {name}")
        if not _NAME.fullmatch(name):
            raise ModelError(
                f"bad model name in {file}: {name!r}",
                "use letters, digits, dots, dashes and underscores",
            )
        entries[name] = make_entry(name, body, source=str(file))
    return entries


def read_toml(file: Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        ModelError: It cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as cause:
        raise ModelError(f"cannot read {file}: {cause.strerror}") from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise ModelError(f"not valid TOML: {file}: {cause}", "correct the file") from cause
