"""SpeechBrain repositories (SepFormer, RE-SepFormer, SPGM): hyperparams.yaml and a file a module.

`hyperparams.yaml` describes the modules with tags, `!new:package.Class` and `!ref <key>`. It is
read as data: tags are only compared with the class names known here, never looked up. The weights
are `encoder.ckpt`, `masknet.ckpt` and `decoder.ckpt`, whose keys lack the module's name.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sepcli.errors import WeightsError
from sepcli.models.checkpoints import Description, State, read_state
from sepcli.models.config_files import Tagged, read_yaml
from sepcli.models.formats import require

CONFIG_FILES = ("hyperparams.yaml",)
FILES = ("hyperparams.yaml", "encoder.ckpt", "masknet.ckpt", "decoder.ckpt")
_MODULES = ("encoder", "masknet", "decoder")
# What is built here of SepFormer's mask network and of every transformer.
_MASKNET = {"norm": "ln", "linear_layer_after_inter_intra": False, "skip_around_intra": True}
_TRANSFORMER = {"use_positional_encoding": True, "norm_before": True}
_SIZES = ("nhead", "d_ffn", "d_model")
_REFERENCE = re.compile(r"<(\w+)>")


def describe(files: Mapping[str, Path]) -> Description | None:
    """Return what hyperparams.yaml says; None where it describes no network known here.

    Raises:
        WeightsError: The file is damaged.
    """
    if "hyperparams.yaml" not in files:
        return Description()
    content = read_yaml(files["hyperparams.yaml"])
    encoder = arguments_of(content, "Encoder")
    sample_rate = _resolved(content, content.get("sample_rate"))
    for class_name, reader in (
        ("Dual_Path_Model", _sepformer),
        ("ResourceEfficientSeparator", _resepformer),
    ):
        masknet = arguments_of(content, class_name)
        if masknet:
            architecture, config = reader(content, encoder, masknet)
            config = {key: value for key, value in config.items() if _is_plain(value)}
            return Description.of_values(architecture, config, sample_rate)
    return None


def read(files: Mapping[str, Path], architecture: str) -> State:
    """Return the three modules' tensors under one state dict's keys.

    Raises:
        WeightsError: A file is missing, damaged or unsafe.
    """
    state: State = {}
    for module in _MODULES:
        if f"{module}.ckpt" not in files:
            raise WeightsError(f"no {module}.ckpt among the model's files")
        part = read_state(files[f"{module}.ckpt"])
        state |= {f"{module}.{key}": tensor for key, tensor in part.items()}
    return state


def arguments_of(content: Mapping[str, Any], class_name: str) -> dict[str, Any]:
    """Return the arguments of the first top-level `!new:...class_name`, empty if there is none.

    Args:
        content: Of hyperparams.yaml, read as data.
        class_name: Of the module, without its package.
    """
    for value in content.values():
        if isinstance(value, Tagged) and value.tag.rpartition(".")[2] == class_name:
            return _arguments(content, value)
    return {}


def _arguments(content: Mapping[str, Any], value: Any) -> dict[str, Any]:
    """Return the arguments of a `!new:` node, references to plain values resolved."""
    if not isinstance(value, Tagged) or not isinstance(value.value, dict):
        return {}
    return {key: _resolved(content, item) for key, item in value.value.items()}


def _resolved(content: Mapping[str, Any], value: Any) -> Any:
    """Return what `!ref <key>` refers to; references to references are followed a few steps."""
    for _ in range(8):
        if not isinstance(value, Tagged) or value.tag != "ref":
            return value
        text = value.value if isinstance(value.value, str) else ""
        match = _REFERENCE.fullmatch(text.strip())
        value = content.get(match[1]) if match else None
    return None


def _sepformer(
    content: Mapping[str, Any], encoder: Mapping[str, Any], masknet: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return SepFormer's configuration; `dual_path.Dual_Path_Model` takes these arguments."""
    inside = _arguments(content, masknet.get("intra_model"))
    across = _arguments(content, masknet.get("inter_model"))
    require("hyperparams.yaml", masknet, _MASKNET)
    config = {
        "num_speakers": masknet.get("num_spks"),
        "encoder_channels": encoder.get("out_channels"),
        "channels": masknet.get("out_channels"),
        "kernel_size": encoder.get("kernel_size"),
        "segment": masknet.get("K"),
        "blocks": masknet.get("num_layers"),
    }
    for part, arguments in (("segment", inside), ("across", across)):
        require("hyperparams.yaml", arguments, _TRANSFORMER)
        config[f"{part}_layers"] = arguments.get("num_layers")
        config[f"{part}_heads"] = arguments.get("nhead")
        config[f"{part}_hidden"] = arguments.get("d_ffn")
    return "sepformer", config


def _resepformer(
    content: Mapping[str, Any], encoder: Mapping[str, Any], masknet: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return RE-SepFormer's configuration from `ResourceEfficientSeparator`'s arguments."""
    inside = _arguments(content, masknet.get("seg_model"))
    memory = _arguments(content, masknet.get("mem_model"))
    require("hyperparams.yaml", masknet, {"causal": False, "mem_type": "av"})
    for arguments in (inside, memory):
        require("hyperparams.yaml", arguments, {**_TRANSFORMER, "use_norm": True, "use_skip": True})
    # One size serves both transformers, as in the published network.
    sizes: dict[str, Any] = {key: inside[key] for key in _SIZES if key in inside}
    require("hyperparams.yaml", memory, sizes)
    config = {
        "num_speakers": masknet.get("num_spk"),
        "channels": encoder.get("out_channels"),
        "kernel_size": encoder.get("kernel_size"),
        "segment": masknet.get("segment_size"),
        "blocks": masknet.get("layer"),
        "segment_layers": inside.get("num_layers"),
        "memory_layers": memory.get("num_layers"),
        "heads": inside.get("nhead"),
        "hidden": inside.get("d_ffn"),
    }
    return "resepformer", config


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)
