"""What the pickles in a PyTorch file name and claim, looked at before torch reads them.

Every name must be one that tensors are made of, and every storage must be as long as is claimed.
Nothing that a pickle names is imported or run here: stand-ins take its place. It is a second lock
beside `weights_only`, which lets through more than tensors (a `bytearray` of any size) and was
broken twice: CVE-2025-32434 below torch 2.6, and tensors larger than their storage below 2.10.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import MappingProxyType
from typing import Any

LARGEST_PICKLE_BYTES = 2**23  # published files have at most some 100 kB beside tensor data
_LEGACY_PICKLES = 5  # magic number, protocol, system, content, keys; then come the storages
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

# Bytes of an element, by the storage's name.
_STORAGES = MappingProxyType(
    {
        "torch.BFloat16Storage": 2,
        "torch.BoolStorage": 1,
        "torch.ByteStorage": 1,
        "torch.CharStorage": 1,
        "torch.DoubleStorage": 8,
        "torch.FloatStorage": 4,
        "torch.HalfStorage": 2,
        "torch.IntStorage": 4,
        "torch.LongStorage": 8,
        "torch.ShortStorage": 2,
    }
)
_REBUILDERS = frozenset(
    {
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
    }
)
# Plain classes, each with what stands in for it; a version of torch is a string with comparison.
_PLAIN = MappingProxyType(
    {"collections.OrderedDict": OrderedDict, "torch.torch_version.TorchVersion": str}
)


class ForbiddenNameError(Exception):
    """A pickle names something that no tensor is made of; the name is the message."""


class FalseClaimError(Exception):
    """An archive claims more than it holds, or is not as PyTorch writes one."""


def check_pickles(path: Path) -> None:
    """Look through the pickles of a PyTorch file, of either serialisation.

    Raises:
        ForbiddenNameError: One names something else than what tensors are made of.
        FalseClaimError: The archive is not as PyTorch writes one.
        OSError: The file cannot be read.
        Exception: The file is damaged: a reader of pickles may raise nearly anything.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive, path.stat().st_size)
        return
    with path.open("rb") as stream:
        pickles = io.BytesIO(stream.read(LARGEST_PICKLE_BYTES))
    if _Census(pickles).load() != _LEGACY_MAGIC:
        raise pickle.UnpicklingError("not a file of PyTorch")
    for _ in range(_LEGACY_PICKLES - 1):
        _Census(pickles).load()


def _check_archive(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse a zip that would grow when read: PyTorch stores its tensors uncompressed."""
    members = {member.filename: member for member in archive.infolist()}
    pickles = [name for name in members if name.endswith(".pkl")]
    if (
        len(members) < len(archive.infolist())  # a name that stands twice
        or any(member.compress_type != zipfile.ZIP_STORED for member in members.values())
        or sum(member.file_size for member in members.values()) > size
        or [name.partition("/")[2] for name in pickles] != ["data.pkl"]
        or members[pickles[0]].file_size > LARGEST_PICKLE_BYTES
    ):
        raise FalseClaimError
    folder = pickles[0].removesuffix(".pkl")
    held = {
        name.removeprefix(f"{folder}/"): member.file_size
        for name, member in members.items()
        if name.startswith(f"{folder}/")
    }
    _Census(io.BytesIO(archive.read(pickles[0])), held).load()


class _Rebuilt:
    """Stands for what a name of torch makes; takes anything and is nothing."""

    def __init__(self, *_: object) -> None:
        pass


# The reader written in Python: that in C makes room for any place that a pickle claims to use.
class _Census(pickle._Unpickler):
    """Reads a pickle with stand-ins for all that it names.

    Args:
        stream: What is read.
        held: Bytes of each storage, by its key; None where storages say their own size.
    """

    def __init__(self, stream: io.BytesIO, held: dict[str, int] | None = None) -> None:
        super().__init__(stream)
        self._held = held

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a name, or the name itself of a storage."""
        full = f"{module}.{name}"
        if full in _STORAGES:
            return full
        if full in _REBUILDERS:
            return _Rebuilt
        if full in _PLAIN:
            return _PLAIN[full]
        raise ForbiddenNameError(full)

    def persistent_load(self, claim: Any) -> _Rebuilt:
        """Return what stands for a storage, as long as is claimed."""
        kind, storage, key, _location, count, *_ = claim
        claimed = _STORAGES[storage] * count
        if kind != "storage" or (self._held is not None and claimed > self._held[key]):
            raise FalseClaimError
        return _Rebuilt()
