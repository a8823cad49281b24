from collections.abc import Mapping
from typing import Any

from sepcli.networks.sepreformer import Config
from tests.networks.golden import Case


def config(recorded: Mapping[str, Any]) -> Config:
    encoder, separator = recorded["module_audio_enc"], recorded["module_separator"]
    stage = separator["enc_stage"]
    return Config(
        num_speakers=recorded["num_spks"],
        filters=encoder["out_channels"],
        kernel_size=encoder["kernel_size"],
        stride=encoder["stride"],
        channels=recorded["module_feature_projector"]["out_channels"],
        stages=separator["num_stages"],
        heads=stage["global_blocks"]["num_mha_heads"],
        farthest=separator["relative_positional_encoding"]["maxlen"],
        local_kernel=stage["local_blocks"]["kernel_size"],
        down_kernel=stage["down_conv_layer"]["samp_kernel_size"],
    )


CASE = Case(
    goldens=("sepreformer", "sepreformer-3spk"), fulls=("sepreformer-base-wsj0",), config=config
)
