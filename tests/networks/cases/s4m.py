"""How the tests build S4M."""

from collections.abc import Mapping
from typing import Any

from sepcli.networks.s4m import Config
from tests.networks.golden import Case


def from_recorded(recorded: Mapping[str, Any]) -> Config:
    """Return our configuration for the published constructor's arguments."""
    return Config(
        num_speakers=recorded["num_sources"],
        window=recorded["enc_kernel_size"] * recorded["sample_rate"] // 1000,
        channels=recorded["out_channels"],
        hidden=recorded["in_channels"],
        depth=recorded["upsampling_depth"],
        repeats=recorded["num_blocks"],
    )


CASE = Case(
    goldens=("s4m-fresh", "s4m-trained", "s4m-tiny"),
    fulls=("s4m", "s4m-tiny"),
    config=from_recorded,
)
