from collections.abc import Mapping
from typing import Any

from sepcli.networks.sepformer import Config
from tests.networks.golden import Case


def config(recorded: Mapping[str, Any]) -> Config:
    return Config(
        num_speakers=recorded["num_spks"],
        encoder_channels=recorded["N_encoder_out"],
        channels=recorded["out_channels"],
        kernel_size=recorded["kernel_size"],
        segment=recorded["K"],
        blocks=recorded["num_layers"],
        segment_layers=recorded["intra_numlayers"],
        segment_heads=recorded["intra_nhead"],
        segment_hidden=recorded["intra_dffn"],
        across_layers=recorded["inter_numlayers"],
        across_heads=recorded["inter_nhead"],
        across_hidden=recorded["inter_dffn"],
    )


CASE = Case(
    goldens=("sepformer", "sepformer-3spk"),
    fulls=("sepformer-wsj02mix", "sepformer-libri3mix"),
    config=config,
)
