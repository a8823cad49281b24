"""Files with weights read as data: nothing in them is ever run.

PyTorch files are read with `weights_only=True` once `pickles` has looked through them, safetensors
files with their library. What a hostile file may claim is checked before memory follows.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.torch_version import TorchVersion

from sepcli.errors import WeightsError
from sepcli.models.foreign import damaged, first_line
from sepcli.models.pickles import FalseClaimError, ForbiddenNameError, check_pickles

State = dict[str, Tensor]

OLDEST_SAFE_TORCH = "2.6"  # older ones run code in spite of weights_only: CVE-2025-32434


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

    @classmethod
    def of_values(
        cls, architecture: str, config: Mapping[str, Any], sample_rate: object
    ) -> "Description":
        """Return what a configuration file says, in which numbers may be anything.

        Args:
            architecture: Module under `sepcli.networks`.
            config: Fields of its `Config`; `num_speakers` is the number of estimates.
            sample_rate: The network's rate [Hz], if it is a whole number.
        """
        speakers = config.get("num_speakers")
        return cls(
            architecture=architecture,
            config=config,
            speakers=speakers if isinstance(speakers, int) else 0,
            sample_rate=sample_rate if isinstance(sample_rate, int) else 0,
        )


def read_torch(path: Path) -> Any:
    """Return what a PyTorch file holds: tensors in plain containers.

    Raises:
        DamagedFileError: It is cut short or no PyTorch file.
        WeightsError: It names something else than tensors or claims more than it holds, or this
            torch is known to run code in such files.
    """
    if TorchVersion(torch.__version__) < TorchVersion(OLDEST_SAFE_TORCH):
        raise WeightsError(
            f"weights refused, torch {torch.__version__} runs code in such files: {path.name}",
            "install torch 2.6 or later, or take a model in the format safetensors",
        )
    try:
        check_pickles(path)
        allowed: list[Any] = [TorchVersion]  # beside the weights in files of two families
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old pickles; what matters is raised
            return torch.load(path, map_location="cpu", weights_only=True)
    except ForbiddenNameError as cause:
        raise WeightsError(
            f"weights refused, they hold more than tensors: {path.name} ({first_line(cause)})",
            "use a file that holds tensors only, best of all model.safetensors",
        ) from cause
    except FalseClaimError as cause:
        raise WeightsError(
            f"weights refused, archive is not what PyTorch writes: {path.name}",
            "use the file as its authors published it",
        ) from cause
    except MemoryError as cause:
        raise WeightsError(f"weights claim more memory than there is: {path.name}") from cause
    except OSError as cause:
        raise WeightsError(f"cannot read {path}: {cause.strerror or cause}") from cause
    except Exception as cause:  # the reader of a broken file may raise nearly anything
        raise damaged(path, cause) from cause


def read_state(path: Path) -> State:
    """Return the state dict in a safetensors file or a PyTorch file that holds nothing else.

    Raises:
        DamagedFileError: The file is cut short.
        WeightsError: It holds something else than tensors by name.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return as_state(read_torch(path), path)


def read_state_under(key: str, path: Path) -> State:
    """Return the state dict that a PyTorch file holds beside other things.

    Args:
        key: Under which name, as `state_dict`.
        path: The file.

    Raises:
        WeightsError: The file is damaged or unsafe, or holds none.
    """
    content = read_torch(path)
    if not isinstance(content, Mapping) or key not in content:
        raise WeightsError(f"no {key} in {path.name}")
    return as_state(content[key], path)


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


def _read_safetensors(path: Path) -> State:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            # Cloned: the library maps the file, and a mapped file may change while we run.
            return {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    except MemoryError as cause:
        raise WeightsError(f"weights claim more memory than there is: {path.name}") from cause
    except (SafetensorError, OSError, ValueError, RuntimeError) as cause:
        raise damaged(path, cause) from cause
