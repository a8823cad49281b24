"""Models of ESPnet's enhancement recipes (TF-Locoformer): config.yaml and a bare state dict.

`config.yaml` is the whole training configuration; of interest are `encoder_conf`, `separator` and
`separator_conf`. Other files of the training folder may lie beside them, at any depth.
"""

from collections.abc import Mapping
from pathlib import Path

from sepcli.models.checkpoints import Description, State, read_state
from sepcli.models.config_files import read_yaml, table_at
from sepcli.models.formats import config_among, renamed, require, weights_beside

CONFIG_FILES = ("config.yaml",)
FILES = ("config.yaml", "valid.loss.ave_5best.pth")

# Arguments of the published separator → ours.
_TFLOCOFORMER = {
    "num_spk": "num_speakers",
    "n_layers": "blocks",
    "emb_dim": "channels",
    "ffn_hidden_dim": "hidden",
    "conv1d_kernel": "kernel_size",
    "n_heads": "heads",
    "attention_dim": "attention_channels",
    "num_groups": "groups",
    "norm_type": "norm",
    "tf_order": "first",
}
_VALUES = {
    "norm_type": {"rmsgroupnorm": "rms-group", "layernorm": "layer"},
    "tf_order": {"ft": "frequency", "tf": "time"},
}
# What is built here has these values; a configuration that says another is of another network.
_BUILT = {"conv1d_shift": 1, "ffn_type": ["swiglu_conv1d", "swiglu_conv1d"], "eps": 1e-5}


def describe(files: Mapping[str, Path]) -> Description | None:
    """Return what config.yaml says; None where it describes no network known here.

    Raises:
        WeightsError: The file is damaged, or asks for a variant that is not built here.
    """
    found = config_among(files, CONFIG_FILES)
    if found is None:
        return Description()
    content = read_yaml(found)
    if content.get("separator") != "tflocoformer":
        return None
    transform, sizes = table_at(content, "encoder_conf"), table_at(content, "separator_conf")
    require("config.yaml", sizes, _BUILT)
    config = renamed(sizes, _TFLOCOFORMER, _VALUES)
    config |= renamed(transform, {"n_fft": "window", "hop_length": "stride"})
    return Description.of_values("tflocoformer", config, content.get("sample_rate"))


def read(files: Mapping[str, Path], architecture: str) -> State:
    """Return the state dict, whose keys are the network's own.

    Raises:
        WeightsError: The file is damaged or unsafe.
    """
    return read_state(weights_beside(files, CONFIG_FILES))
