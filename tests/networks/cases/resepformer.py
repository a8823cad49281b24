from collections.abc import Mapping
from typing import Any

from sepcli.networks.resepformer import Config
from tests.networks.golden import Case


def config(recorded: Mapping[str, Any]) -> Config:
    return Config(
        num_speakers=recorded["num_spks"],
        channels=recorded["out_channels"],
        kernel_size=recorded["kernel_size"],
        segment=recorded["segment_size"],
        blocks=recorded["layer"],
        segment_layers=recorded["seg_numlayers"],
        memory_layers=recorded["mem_numlayers"],
        heads=recorded["nhead"],
        hidden=recorded["d_ffn"],
        position_rows=recorded["pe_max_len"],
    )


CASE = Case(goldens=("resepformer",), fulls=("resepformer",), config=config)
