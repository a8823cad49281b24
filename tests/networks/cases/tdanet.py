"""How the tests build TDANet."""

from collections.abc import Mapping
from typing import Any

from sepcli.networks.tdanet import Config
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
        gated=recorded.get("model_name") != "TDANet",
    )


CASE = Case(
    goldens=("tdanetbest-4ms", "tdanetbest-2ms-3spk", "tdanet-4ms"),
    fulls=("tdanetbest-4ms", "tdanetbest-2ms"),
    config=from_recorded,
)
