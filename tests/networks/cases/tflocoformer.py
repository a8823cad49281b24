from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sepcli.networks.tflocoformer import Config, fade_out
from tests.networks.golden import Case

NORMS = {"rmsgroupnorm": "rms-group", "layernorm": "layer"}
ORDERS = {"ft": "frequency", "tf": "time"}


def config(recorded: Mapping[str, Any]) -> Config:
    transform, sizes = recorded["encoder_conf"], recorded["separator_conf"]
    return Config(
        num_speakers=sizes["num_spk"],
        window=transform["n_fft"],
        stride=transform["hop_length"],
        blocks=sizes["n_layers"],
        channels=sizes["emb_dim"],
        hidden=tuple(sizes["ffn_hidden_dim"]),
        kernel_size=sizes["conv1d_kernel"],
        heads=sizes["n_heads"],
        attention_channels=sizes.get("attention_dim", 128),
        groups=sizes["num_groups"],
        norm=NORMS[sizes["norm_type"]],
        first=ORDERS[sizes["tf_order"]],
    )


def faded(sizes: Config, _: Tensor, estimates: Tensor) -> Tensor:
    rows = estimates.flatten(0, 1)
    return fade_out(rows, torch.hann_window(sizes.window), sizes.stride).view(estimates.shape)


CASE = Case(
    goldens=("tflocoformer", "tflocoformer-whamr", "tflocoformer-tf-3spk"),
    fulls=("tflocoformer-whamr-small", "tflocoformer-wsj0-2mix"),
    config=config,
    deviation=faded,
)
