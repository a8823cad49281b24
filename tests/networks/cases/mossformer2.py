from collections.abc import Mapping
from typing import Any

from sepcli.networks.mossformer2 import Config
from tests.networks.golden import Case


def config(recorded: Mapping[str, Any]) -> Config:
    return Config(
        num_speakers=recorded["num_spks"],
        channels=recorded["encoder_embedding_dim"],
        kernel_size=recorded["encoder_kernel_size"],
        layers=recorded["num_mossformer_layer"],
        memory_channels=recorded.get("inner_channels", 256),
        group=recorded.get("group_size", 256),
        query_channels=recorded.get("query_key_dim", 128),
        expansion=int(recorded.get("expansion_factor", 4)),
    )


CASE = Case(
    goldens=("mossformer2", "mossformer2-3spk"),
    fulls=("mossformer2-ss-16k",),
    config=config,
    extras={
        "mapping": Config(
            channels=8,
            layers=1,
            memory_channels=6,
            group=16,
            query_channels=8,
            mapping=True,
        )
    },
)
