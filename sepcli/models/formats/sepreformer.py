"""Training checkpoints of SepReformer: configs.yaml, and weights beside the optimiser's state.

The file is a dict whose `model_state_dict` is the state dict; the rest is dropped. `configs.yaml`
holds the constructor's arguments under `config.model`. Both lie deep in the authors' code.
"""

from collections.abc import Mapping
from pathlib import Path

from sepcli.models.checkpoints import Description, State, read_state_under
from sepcli.models.config_files import read_yaml, value_at
from sepcli.models.formats import config_among, weights_beside

CONFIG_FILES = ("configs.yaml",)
FILES = ("configs.yaml", "epoch.0180.pth")

# Place of an argument under `config.model` → ours.
_ARGUMENTS = {
    "num_spks": "num_speakers",
    "module_audio_enc.out_channels": "filters",
    "module_audio_enc.kernel_size": "kernel_size",
    "module_audio_enc.stride": "stride",
    "module_feature_projector.out_channels": "channels",
    "module_separator.num_stages": "stages",
    "module_separator.enc_stage.global_blocks.num_mha_heads": "heads",
    "module_separator.relative_positional_encoding.maxlen": "farthest",
    "module_separator.enc_stage.local_blocks.kernel_size": "local_kernel",
    "module_separator.enc_stage.down_conv_layer.samp_kernel_size": "down_kernel",
}


def describe(files: Mapping[str, Path]) -> Description | None:
    """Return what configs.yaml says; None where it describes no network known here.

    Raises:
        WeightsError: The file is damaged.
    """
    found = config_among(files, CONFIG_FILES)
    if found is None:
        return Description()
    content = read_yaml(found)
    if value_at(content, "config.model.module_separator.spk_split_stage") is None:
        return None
    said = {ours: value_at(content, f"config.model.{key}") for key, ours in _ARGUMENTS.items()}
    config = {ours: value for ours, value in said.items() if value is not None}
    sample_rate = value_at(content, "config.dataset.sampling_rate")
    return Description.of_values("sepreformer", config, sample_rate)


def read(files: Mapping[str, Path], architecture: str) -> State:
    """Return the state dict, whose keys are the network's own.

    Raises:
        WeightsError: The file is damaged or unsafe, or holds no weights.
    """
    return read_state_under("model_state_dict", weights_beside(files, CONFIG_FILES))
