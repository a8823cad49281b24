"""How the tests build Sudo rm -rf."""

from collections.abc import Mapping
from typing import Any

from sepcli.networks.sudormrf import Config
from tests.networks.golden import Case


def from_recorded(recorded: Mapping[str, Any]) -> Config:
    """Return our configuration for the published constructor's arguments."""
    kernel = recorded.get("kernel_size", 21)
    return Config(
        num_speakers=recorded["n_src"],
        num_filters=recorded.get("n_filters", 512),
        kernel_size=kernel,
        stride=recorded.get("stride") or kernel // 2,
        channels=recorded.get("bn_chan", 128),
        depth=recorded.get("upsampling_depth", 4),
        num_blocks=recorded.get("num_blocks", 16),
        improved=recorded.get("model_name") != "SuDORMRFNet",
    )


CASE = Case(
    goldens=("sudormrf", "sudormrf-improved", "sudormrf-improved-ks16"),
    fulls=("sudormrf", "sudormrf-improved"),
    config=from_recorded,
)
