"""Checkpoints of the look2hear family (TDANet): one PyTorch file of weights and their arguments.

The file is a dict of `model_name`, `model_args`, `state_dict` and `infos`. The arguments may be no
more than `{"n_src": 2}`; widths are then read off the weights, and what these do not show, how
often the shared block is applied, is left to the entry.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sepcli.models.checkpoints import Description, State, as_state, read_state_under, read_torch
from sepcli.models.formats import first_file, renamed

CONFIG_FILES = ("pytorch_model.bin",)
FILES = ("pytorch_model.bin",)
_GATED = {"TDANetBest": True, "TDANet": False}
_ARGUMENTS = {
    "num_sources": "num_speakers",
    "out_channels": "channels",
    "in_channels": "hidden",
    "upsampling_depth": "depth",
    "num_blocks": "repeats",
}
# All published networks of the family run at this rate [Hz], some files do not say so.
_SAMPLE_RATE = 16_000


def describe(files: Mapping[str, Path]) -> Description | None:
    """Return what the checkpoint says about itself; None where it is none of this family.

    Raises:
        WeightsError: The file is damaged or unsafe.
    """
    content = read_torch(first_file(files))
    if not isinstance(content, Mapping) or content.get("model_name") not in _GATED:
        return None
    state = as_state(content.get("state_dict"), first_file(files))
    arguments = content.get("model_args")
    arguments = arguments if isinstance(arguments, Mapping) else {}
    config = _from_weights(state) | renamed(arguments, _ARGUMENTS)
    config["gated"] = _GATED[content["model_name"]]
    sample_rate = arguments.get("sample_rate")
    rate = sample_rate if isinstance(sample_rate, int) else _SAMPLE_RATE
    return Description.of_values("tdanet", config, rate)


def read(files: Mapping[str, Path], architecture: str) -> State:
    """Return the state dict.

    Raises:
        WeightsError: The file is damaged or unsafe, or holds none.
    """
    return read_state_under("state_dict", first_file(files))


def _from_weights(state: State) -> dict[str, Any]:
    """Return what the shapes of the weights show of the configuration."""
    shown: dict[str, Any] = {}
    if "encoder.weight" in state:
        shown["window"] = state["encoder.weight"].shape[-1]
    if "decoder.weight" in state and state["decoder.weight"].dim() == 3:
        shown["num_speakers"] = state["decoder.weight"].shape[1]
    if "sm.unet.res_conv.weight" in state and state["sm.unet.res_conv.weight"].dim() == 3:
        shown["channels"], shown["hidden"], _ = state["sm.unet.res_conv.weight"].shape
    scales = {key.split(".")[3] for key in state if key.startswith("sm.unet.spp_dw.")}
    if scales:
        shown["depth"] = len(scales)
    return shown
