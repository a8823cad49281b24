"""Checkpoints of asteroid (Conv-TasNet, DPRNN, DPTNet): one PyTorch file of weights and arguments.

The file is a dict of `model_name`, `model_args`, `state_dict` and `infos`. Files of older versions
lack some arguments; those then have the values of that time.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sepcli.errors import WeightsError
from sepcli.models.checkpoints import Description, State, read_state_under, read_torch
from sepcli.models.foreign import shown
from sepcli.models.formats import first_file, renamed

CONFIG_FILES = ("pytorch_model.bin",)
FILES = ("pytorch_model.bin",)
_SAMPLE_RATE = 8_000  # of files that do not say [Hz]


# Arguments of its classes → our names.
_CONV_TASNET = {
    "n_src": "num_speakers",
    "n_filters": "num_filters",
    "kernel_size": "kernel_size",
    "stride": "stride",
    "bn_chan": "bottleneck",
    "hid_chan": "hidden",
    "skip_chan": "skip",
    "conv_kernel_size": "conv_kernel_size",
    "n_blocks": "num_blocks",
    "n_repeats": "num_repeats",
    "norm_type": "norm",
    "mask_act": "mask_activation",
    "encoder_activation": "encoder_activation",
    "causal": "causal",
}
_DPRNN = {
    "n_src": "num_speakers",
    "n_filters": "num_filters",
    "kernel_size": "kernel_size",
    "stride": "stride",
    "bn_chan": "bottleneck",
    "hid_size": "hidden",
    "chunk_size": "segment",
    "hop_size": "hop",
    "n_repeats": "num_blocks",
    "num_layers": "num_layers",
    "rnn_type": "rnn",
    "bidirectional": "bidirectional",
    "use_mulcat": "multiply",
    "norm_type": "norm",
    "mask_act": "mask_activation",
    "encoder_activation": "encoder_activation",
}
_DPTNET = {
    "n_src": "num_speakers",
    "n_filters": "num_filters",
    "kernel_size": "kernel_size",
    "stride": "stride",
    "n_heads": "num_heads",
    "ff_hid": "hidden",
    "chunk_size": "segment",
    "hop_size": "hop",
    "n_repeats": "num_blocks",
    "bidirectional": "bidirectional",
    "mask_act": "mask_activation",
    "encoder_activation": "encoder_activation",
}
NETWORKS = {
    "ConvTasNet": ("convtasnet", _CONV_TASNET),
    "DPRNNTasNet": ("dprnn", _DPRNN),
    "DPTNet": ("dptnet", _DPTNET),
}
"""Class name → our architecture, and its arguments → our names."""

# What it meant that a file of an older version leaves an argument out.
_ABSENT: dict[str, dict[str, Any]] = {
    "ConvTasNet": {"encoder_activation": None, "causal": False},
    "DPRNNTasNet": {"encoder_activation": None, "use_mulcat": False},
    "DPTNet": {"encoder_activation": "relu"},
}


def describe(files: Mapping[str, Path]) -> Description | None:
    """Return what the checkpoint says about itself; None where it is none of asteroid's.

    Raises:
        WeightsError: The file is damaged or unsafe, or its filterbank is not a learned one.
    """
    content = read_torch(first_file(files))
    if not isinstance(content, Mapping) or content.get("model_name") not in NETWORKS:
        return None
    arguments = content.get("model_args")
    if not isinstance(arguments, Mapping):
        raise WeightsError(f"no model_args in {first_file(files).name}")
    if arguments.get("fb_name", "FreeFB") not in ("FreeFB", "free"):
        raise WeightsError(f"filterbank is not built here: {shown(arguments['fb_name'])}")
    architecture, names = NETWORKS[content["model_name"]]
    given = {**_ABSENT[content["model_name"]], **arguments}
    given["encoder_activation"] = given["encoder_activation"] or "none"
    # Other arguments set to none were derived by the constructor, as the entry's config says.
    given = {key: value for key, value in given.items() if value is not None}
    config = renamed(given, names)
    sample_rate = given.get("sample_rate", _SAMPLE_RATE)
    whole = int(sample_rate) if isinstance(sample_rate, float) else sample_rate
    return Description.of_values(architecture, config, whole)


def read(files: Mapping[str, Path], architecture: str) -> State:
    """Return the state dict.

    Raises:
        WeightsError: The file is damaged or unsafe, or holds none.
    """
    return read_state_under("state_dict", first_file(files))
