"""DPRNN: as published, with MulCat, and with a one-way GRU."""

from collections.abc import Mapping
from typing import Any

from sepcli.networks.dprnn import Config

from ..golden import Case


def from_recorded(recorded: Mapping[str, Any]) -> Config:
    kernel = recorded.get("kernel_size", 16)
    length = recorded.get("chunk_size", 100)
    return Config(
        num_speakers=recorded["n_src"],
        num_filters=recorded.get("n_filters", 64),
        kernel_size=kernel,
        stride=recorded.get("stride") or kernel // 2,
        bottleneck=recorded.get("bn_chan", 128),
        hidden=recorded.get("hid_size", 128),
        segment=length,
        hop=recorded.get("hop_size") or length // 2,
        num_blocks=recorded.get("n_repeats", 6),
        num_layers=recorded.get("num_layers", 1),
        rnn=recorded.get("rnn_type", "LSTM"),
        bidirectional=recorded.get("bidirectional", True),
        multiply=recorded.get("use_mulcat", False),
        norm=recorded.get("norm_type", "gLN"),
        encoder_activation=recorded.get("encoder_activation") or "none",
        mask_activation=recorded.get("mask_act", "sigmoid"),
    )


CASE = Case(
    goldens=("dprnn", "dprnn-mulcat", "dprnn-uni-gru-cln"),
    fulls=("dprnn-ks2-wham",),
    config=from_recorded,
    extras={
        "softmax": Config(
            num_speakers=3,
            num_filters=8,
            kernel_size=8,
            stride=3,
            bottleneck=6,
            hidden=5,
            segment=7,
            hop=3,
            num_blocks=2,
            mask_activation="softmax",
        )
    },
)
