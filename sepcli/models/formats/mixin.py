"""Repositories of the hub's own mixin (SPGM, TIGER, MossFormer2): config.json beside the weights.

`config.json` holds the constructor's arguments, at times one level down under `config`. The weights
are `model.safetensors` or, older, `pytorch_model.bin`, a plain state dict.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sepcli.errors import WeightsError
from sepcli.models.checkpoints import Description, State, read_state
from sepcli.models.config_files import read_json
from sepcli.models.foreign import shown
from sepcli.models.formats import config_among, renamed, weights_beside

CONFIG_FILES = ("config.json",)
FILES = ("config.json", "model.safetensors|pytorch_model.bin")


# Published names of constructor arguments → ours, and their published values → ours.
_SPGM = {
    "masknet_numspks": "num_speakers",
    "encoder_out_nchannels": "channels",
    "encoder_kernel_size": "kernel_size",
    "masknet_chunksize": "segment",
    "masknet_numlayers": "blocks",
    "intra_numlayers": "layers",
    "intra_nhead": "heads",
    "intra_dffn": "hidden",
    "spgm_block_pool": "pool",
    "spgm_block_att_h": "pool_hidden",
    "masknet_norm": "norm",
    "intra_norm_before": "norm_first",
    "intra_use_positional": "positions",
    "masknet_extraskipconnection": "skip",
    "masknet_useextralinearlayer": "extra_linear",
}
_VALUES = {
    "spgm_block_pool": {"att": "attention", "avg": "mean", "max": "max", "lem": "last"},
    "masknet_norm": {"ln": "global", "gln": "global-wide", "cln": "frame"},
}
_TIGER = {
    "num_sources": "num_speakers",
    "win": "window",
    "stride": "stride",
    "out_channels": "channels",
    "in_channels": "hidden",
    "upsampling_depth": "depth",
    "num_blocks": "repeats",
    "att_n_head": "heads",
    "att_hid_chan": "query",
}
# Published networks whose output is decoded as it is, without multiplying it with the encoder's.
_MAPPING = ("mossformer2-whamr-2spk",)
_MOSSFORMER2 = {"masknet_numspks": "num_speakers"}
# The 8 kHz repositories name modules otherwise than the 16 kHz one, whose keys the network has.
_MOSSFORMER2_PREFIXES = {
    "masknet.dual_mdl.0.intra_mdl.mdl.flashT.": "mask_net.mdl.intra_mdl.mossformerM.",
    "masknet.dual_mdl.0.intra_mdl.mdl.norm.norm.": "mask_net.mdl.intra_mdl.norm.",
    "masknet.dual_mdl.0.intra_norm.": "mask_net.mdl.intra_norm.",
    "masknet.": "mask_net.",
    "encoder.": "enc.",
    "decoder.": "dec.",
}
_TIGER_MARKS = {"num_blocks", "upsampling_depth", "win", "stride", "num_sources", "sample_rate"}
# Number and width [Hz] of TIGER's bands; a last one takes the rest.
_TIGER_BANDS = ((40, 25), (10, 100), (8, 250), (8, 500))
# Arguments that config.json leaves out where they are the constructor's defaults.
_TIGER_ABSENT = {"att_hid_chan": 4, "att_n_head": 4}


def describe(files: Mapping[str, Path]) -> Description | None:
    """Return what config.json says; None where it belongs to none of the networks known here.

    Raises:
        WeightsError: The file is damaged.
    """
    found = config_among(files, CONFIG_FILES)
    if found is None:
        return Description()
    content = read_json(found)
    if isinstance(content.get("config"), dict):
        content = content["config"]
    kind = content.get("model_type")
    if kind == "spgm":
        return _description("spgm", content, _SPGM)
    if kind == "mossformer2" or str(content.get("config_name", "")).startswith("mossformer2"):
        said = _description("mossformer2", content, _MOSSFORMER2)
        mapping = content.get("config_name") in _MAPPING
        return dataclasses.replace(said, config={**said.config, "mapping": mapping})
    if content.keys() >= _TIGER_MARKS:
        return _describe_tiger({**_TIGER_ABSENT, **content})
    return None


def read(files: Mapping[str, Path], architecture: str) -> State:
    """Return the state dict under the network's keys.

    Raises:
        WeightsError: The file is damaged or unsafe.
    """
    state = read_state(weights_beside(files, CONFIG_FILES))
    if architecture == "mossformer2":
        return {_mossformer2_key(key): tensor for key, tensor in state.items()}
    return state


def _description(
    architecture: str, content: Mapping[str, Any], names: Mapping[str, str]
) -> Description:
    """Return a configuration under our names."""
    config = renamed(content, names, _VALUES)
    return Description.of_values(architecture, config, content.get("sample_rate"))


def _describe_tiger(content: Mapping[str, Any]) -> Description:
    """Return TIGER's configuration; the bands follow from rate and window, as published.

    Raises:
        WeightsError: Rate and window leave a band without a bin.
    """
    found = _description("tiger", content, _TIGER)
    window, sample_rate = content["win"], content["sample_rate"]
    if not isinstance(window, int) or not isinstance(sample_rate, int) or sample_rate < 1:
        raise WeightsError(f"not a window and a rate: {shown(window)}, {shown(sample_rate)}")
    bins = window // 2 + 1
    bands = [int(hz * bins * 2 / sample_rate) for count, hz in _TIGER_BANDS for _ in range(count)]
    bands.append(bins - sum(bands))
    if min(bands) < 1:
        raise WeightsError(f"too few bins for the bands of TIGER: {bins} at {sample_rate} Hz")
    return dataclasses.replace(found, config={**found.config, "bands": bands})


def _mossformer2_key(key: str) -> str:
    """Return the key of the 16 kHz checkpoint for one of the 8 kHz checkpoints."""
    for theirs, ours in _MOSSFORMER2_PREFIXES.items():
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    return key
