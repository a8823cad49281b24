"""Repositories of SR-CorrNet: config.yaml of the training run, and weights in model.pt.

The weights are a bare state dict, or a training checkpoint that holds it as `model_state_dict`. Its
keys may carry what a compiled network adds to them, and the module names of older code.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sepcli.models.checkpoints import Description, State, as_state, read_torch
from sepcli.models.config_files import read_yaml, table_at
from sepcli.models.formats import renamed, require

CONFIG_FILES = ("config.yaml",)
FILES = ("config.yaml", "model.pt")
# Sections of the constructor's arguments → published names in them → ours.
_NAMES: Mapping[str, Mapping[str, str]] = {
    "stft": {"frame_length": "window", "frame_shift": "stride"},
    "model": {
        "taps_freq": "taps_freq",
        "taps_frame": "taps_frame",
        "N_Enc": "encoder_blocks",
        "N_Dec": "decoder_blocks",
        "is_var_spks": "counts",
    },
    "model.multi_path_block.channel_module": {
        "d_model": "dim",
        "n_head": "heads",
        "d_hidden": "hidden",
        "kernel_size": "kernel_size",
    },
    "model.cross_spk": {"d_hidden": "cross_hidden"},
}
# What is built here; `spectral_module`, the path along frequency, is as the one along time.
_SUPPORTED: Mapping[str, Mapping[str, Any]] = {
    "model.input_embedding": {"kernel_sizes": [3, 3], "num_mics": 1},
    "model.mask_estimator": {"num_mics": 1, "MIMO": False},
    "model.multi_path_block.channel_module": {"dropout_rate": 0.0},
    "model.cross_spk": {"dropout_rate": 0.0},
    "model": {"apply_pos_enc": True},
}
_OLD_PREFIXES = {
    "input_layer.": "encoder.",
    "mask_estim_aux.": "filter_estim_aux.",
    "mask_estim.": "filter_estim.",
}
_OLD_PARTS = {
    ".frame_wise_block.": ".freq_block.",
    ".freq_wise_block.": ".time_block.",
    ".cs.": ".ca.",
    ".block.ega.": ".block.sa.",
}


def describe(files: Mapping[str, Path]) -> Description | None:
    """Return what config.yaml says; None where it is of another network.

    Raises:
        WeightsError: The file is damaged, or asks for what is not built here.
    """
    content = read_yaml(files["config.yaml"]).get("config")
    paths = table_at(content, "model.multi_path_block")
    if not {"channel_module", "spectral_module"} <= paths.keys():
        return None
    require("config.yaml", paths, {"spectral_module": paths["channel_module"]})
    config: dict[str, Any] = {}
    for where, names in _NAMES.items():
        config |= renamed(table_at(content, where), names)
    for where, values in _SUPPORTED.items():
        require("config.yaml", table_at(content, where), values)
    form = "varying" if config.get("counts") else "fixed"
    config["num_speakers"] = table_at(content, f"model.spk_split.{form}").get("max_n_spks", 0)
    sample_rate = table_at(content, "dataset.synthesis_config").get("sampling_rate")
    return Description.of_values("srcorrnet", config, sample_rate)


def read(files: Mapping[str, Path], architecture: str) -> State:
    """Return the state dict under the keys of the newest code.

    Raises:
        WeightsError: The file is damaged or unsafe, or holds none.
    """
    content = read_torch(files["model.pt"])
    if isinstance(content, Mapping) and "model_state_dict" in content:
        content = content["model_state_dict"]
    state = as_state(content, files["model.pt"])
    return {_key(key): tensor for key, tensor in state.items()}


def _key(key: str) -> str:
    """Return the newest code's name of a key."""
    key = key.replace("_orig_mod.", "")
    for old, new in _OLD_PREFIXES.items():
        if key.startswith(old):
            key = new + key.removeprefix(old)
            break
    for old, new in _OLD_PARTS.items():
        key = key.replace(old, new, 1)
    return key
