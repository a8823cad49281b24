"""Files with weights and configuration read as data: nothing in them is ever run.

PyTorch files are read with `weights_only=True` and safetensors files with their library; YAML tags
stay inert. What a hostile file may claim (sizes, shapes, nesting) is checked before memory follows.
"""

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sepcli.errors import WeightsError

State = dict[str, Tensor]

LARGEST_TEXT_BYTES = 2**20  # of a configuration file; published ones have a few kB
LARGEST_PICKLE_BYTES = 2**26  # of the part of a PyTorch file that is not tensor data
DEEPEST_NESTING = 64


class DamagedFileError(WeightsError):
    """A file is cut short or altered: downloading it again may help."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a repository's own files say about its network; empty or 0 where they say nothing.

    Attributes:
        architecture: Module under `sepcli.networks`.
        config: Fields of the architecture's `Config`, under our names.
        speakers: Number of estimates.
        sample_rate: The network's rate [Hz].
    """

    architecture: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    speakers: int = 0
    sample_rate: int = 0


def read_torch(path: Path) -> Any:
    """Return what a PyTorch file holds: tensors in plain containers.

    Raises:
        DamagedFileError: It is cut short or no PyTorch file.
        WeightsError: It needs code to be run, or claims more than it holds.
    """
    _check_archive(path)
    # Serialised by asteroid and look2hear beside the weights; a string with comparison.
    allowed: list[Any] = [torch.torch_version.TorchVersion]
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old pickles; what matters is raised
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as cause:
        needed = re.search(r"(?:GLOBAL|global|class) ([\w.]+)", str(cause))
        if not needed:
            raise _damaged(path, cause) from cause
        raise WeightsError(
            f"weights refused, they hold more than tensors: {path.name} ({needed[1]})",
            "use a file that holds tensors only, best of all model.safetensors",
        ) from cause
    except MemoryError as cause:
        raise WeightsError(f"weights claim more memory than there is: {path.name}") from cause
    except Exception as cause:  # the reader of a broken file may raise nearly anything
        raise _damaged(path, cause) from cause


def read_state(path: Path) -> State:
    """Return the state dict in a safetensors file or a PyTorch file that holds nothing else.

    Raises:
        DamagedFileError: The file is cut short.
        WeightsError: It holds something else than tensors by name.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return as_state(read_torch(path), path)


def as_state(content: Any, path: Path) -> State:
    """Return `content` if it is a state dict: tensors by name, each no larger than its storage.

    Raises:
        WeightsError: It is not.
    """
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"no weights by name in {path.name}: {type(content).__name__}")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(f"no tensor in {path.name} under: {str(key)[:80]!r}")
        plain = value.layout == torch.strided and value.device.type == "cpu"
        if not plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise WeightsError(f"tensor in {path.name} claims more than it holds: {key[:80]}")
    return dict(content)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        DamagedFileError: It is not JSON.
        WeightsError: It is too large or holds no object.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as cause:
        raise _damaged(path, cause) from cause
    if not isinstance(content, dict):
        raise WeightsError(f"not a configuration: {path.name}")
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; a tag only becomes a `Tagged` beside its value.

    Raises:
        DamagedFileError: It is not YAML.
        WeightsError: It is too large or holds no mapping.
    """
    text = read_text(path)
    if max((len(line) - len(line.lstrip(" ")) for line in text.splitlines()), default=0) > 512:
        raise WeightsError(f"nested too deeply: {path.name}")
    try:
        content = yaml.load(text, Loader=_InertLoader)  # noqa: S506, a SafeLoader that keeps tags
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as cause:
        raise _damaged(path, cause) from cause
    if not isinstance(content, dict):
        raise WeightsError(f"not a configuration: {path.name}")
    return content


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
        raise _damaged(path, cause) from cause


@dataclass(frozen=True)
class Tagged:
    """A YAML value with its tag, such as `!new:package.Class`, which nothing ever looks up."""

    tag: str
    value: Any


class _InertLoader(yaml.SafeLoader):
    """Reads plain YAML; a value under a tag it does not know stays data."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.nesting = getattr(self, "nesting", 0) + 1
        if self.nesting > DEEPEST_NESTING:
            raise yaml.YAMLError("nested too deeply")
        node = super().compose_node(parent, index)
        self.nesting -= 1
        return node

    def construct_tagged(self, tag: str, node: yaml.Node) -> Tagged:
        """Return the value of a tagged node, its tag kept as a string."""
        if isinstance(node, yaml.MappingNode):
            return Tagged(tag, self.construct_mapping(node, deep=True))
        if isinstance(node, yaml.SequenceNode):
            return Tagged(tag, self.construct_sequence(node, deep=True))
        return Tagged(tag, node.value)


def _construct(loader: _InertLoader, suffix: str, node: yaml.Node) -> Tagged:
    return loader.construct_tagged(suffix, node)


_InertLoader.add_multi_constructor("!", _construct)
_InertLoader.add_multi_constructor("tag:yaml.org,2002:python", _construct)


def _read_safetensors(path: Path) -> State:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            # Cloned: the library maps the file, and a mapped file may change while we run.
            return {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    except MemoryError as cause:
        raise WeightsError(f"weights claim more memory than there is: {path.name}") from cause
    except (SafetensorError, OSError, ValueError, RuntimeError) as cause:
        raise _damaged(path, cause) from cause


def _check_archive(path: Path) -> None:
    """Refuse a zip that would grow when read; PyTorch stores its tensors uncompressed."""
    try:
        if not zipfile.is_zipfile(path):
            return  # older serialisation, or no weights at all: its reader will say
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError) as cause:
        raise _damaged(path, cause) from cause
    except OSError as cause:
        raise WeightsError(f"cannot read {path}: {cause.strerror}") from cause
    grows = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    claimed = sum(member.file_size for member in members)
    pickled = sum(member.file_size for member in members if member.filename.endswith(".pkl"))
    if grows or claimed > path.stat().st_size or pickled > LARGEST_PICKLE_BYTES:
        raise WeightsError(
            f"weights refused, archive is not what PyTorch writes: {path.name}",
            "use the file as its authors published it",
        )


def _damaged(path: Path, cause: BaseException) -> DamagedFileError:
    lines = str(cause).strip().splitlines()
    reason = lines[0][:120] if lines else type(cause).__name__
    return DamagedFileError(
        f"file is damaged or of another kind: {path}: {reason}",
        "run `sepcli download --verify` to fetch damaged files again",
    )
