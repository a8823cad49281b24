"""DPTNet: as published, and with other masks, one direction and an odd hop."""

from collections.abc import Mapping
from typing import Any

from sepcli.networks.dptnet import Config

from ..golden import Case


def from_recorded(recorded: Mapping[str, Any]) -> Config:
    kernel = recorded.get("kernel_size", 16)
    length = recorded.get("chunk_size", 100)
    return Config(
        num_speakers=recorded["n_src"],
        num_filters=recorded.get("n_filters", 64),
        kernel_size=kernel,
        stride=recorded.get("stride") or kernel // 2,
        num_heads=recorded.get("n_heads", 4),
        hidden=recorded.get("ff_hid", 256),
        segment=length,
        hop=recorded.get("hop_size") or length // 2,
        num_blocks=recorded.get("n_repeats", 6),
        bidirectional=recorded.get("bidirectional", True),
        encoder_activation=recorded.get("encoder_activation", "relu") or "none",
        mask_activation=recorded.get("mask_act", "relu"),
    )


CASE = Case(
    goldens=("dptnet",),
    fulls=("dptnet",),
    config=from_recorded,
    extras={
        "softmax": Config(
            num_speakers=3,
            num_filters=8,
            kernel_size=8,
            stride=3,
            num_heads=2,
            hidden=5,
            segment=7,
            hop=3,
            num_blocks=2,
            bidirectional=False,
            encoder_activation="none",
            mask_activation="softmax",
        )
    },
)
