from collections.abc import Mapping
from typing import Any

from sepcli.networks.spgm import Config
from tests.networks.golden import Case

POOLS = {"att": "attention", "avg": "mean", "max": "max", "lem": "last"}
NORMS = {"ln": "global", "gln": "global-wide", "cln": "frame"}


def config(recorded: Mapping[str, Any]) -> Config:
    return Config(
        num_speakers=recorded["masknet_numspks"],
        channels=recorded["encoder_out_nchannels"],
        kernel_size=recorded["encoder_kernel_size"],
        segment=recorded["masknet_chunksize"],
        blocks=recorded["masknet_numlayers"],
        layers=recorded["intra_numlayers"],
        heads=recorded["intra_nhead"],
        hidden=recorded["intra_dffn"],
        pool=POOLS[recorded["spgm_block_pool"]],
        pool_hidden=recorded["spgm_block_att_h"],
        norm=NORMS[recorded["masknet_norm"]],
        norm_first=recorded["intra_norm_before"],
        positions=recorded["intra_use_positional"],
        skip=recorded["masknet_extraskipconnection"],
        extra_linear=recorded["masknet_useextralinearlayer"],
    )


CASE = Case(
    goldens=(
        "spgm-att",
        "spgm-attff",
        "spgm-avg",
        "spgm-extralinear_gln",
        "spgm-lem",
        "spgm-max",
        "spgm-noskip_cln_nopos_normafter",
    ),
    fulls=("spgm-base", "spgm-opt"),
    config=config,
)
