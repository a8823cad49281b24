"""Conv-TasNet: every norm, mask and skip connection that was published."""

from collections.abc import Mapping
from typing import Any

from sepcli.networks.convtasnet import Config

from ..golden import Case


def from_recorded(recorded: Mapping[str, Any]) -> Config:
    kernel = recorded.get("kernel_size", 16)
    return Config(
        num_speakers=recorded["n_src"],
        num_filters=recorded.get("n_filters", 512),
        kernel_size=kernel,
        stride=recorded.get("stride") or kernel // 2,
        bottleneck=recorded.get("bn_chan", 128),
        hidden=recorded.get("hid_chan", 512),
        skip=recorded.get("skip_chan", 128),
        conv_kernel_size=recorded.get("conv_kernel_size", 3),
        num_blocks=recorded.get("n_blocks", 8),
        num_repeats=recorded.get("n_repeats", 3),
        norm=recorded.get("norm_type", "gLN"),
        mask_activation=recorded.get("mask_act", "sigmoid"),
        encoder_activation=recorded.get("encoder_activation") or "none",
        causal=recorded.get("causal", False),
    )


VARIANTS = ("gln", "bn-softmax", "causal-cgln", "causal-cln", "noskip-relu-3spk")

CASE = Case(
    goldens=tuple(f"convtasnet-{variant}" for variant in VARIANTS),
    fulls=("convtasnet-8k", "convtasnet-16k"),
    config=from_recorded,
)
