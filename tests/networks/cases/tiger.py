"""How the tests build TIGER."""

from collections.abc import Mapping
from typing import Any

from sepcli.networks.tiger import Config
from tests.networks.golden import Case


def from_recorded(recorded: Mapping[str, Any]) -> Config:
    """Return our configuration for the published constructor's arguments."""
    return Config(
        num_speakers=recorded["num_sources"],
        window=recorded["win"],
        stride=recorded["stride"],
        channels=recorded["out_channels"],
        hidden=recorded["in_channels"],
        depth=recorded["upsampling_depth"],
        repeats=recorded["num_blocks"],
        query=recorded.get("att_hid_chan", 4),
    )


CASE = Case(
    goldens=("tiger", "tiger-3src"),
    fulls=("tiger-speech", "tiger-speech-small"),
    config=from_recorded,
)
