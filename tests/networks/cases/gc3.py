"""GC3: every inner network, with and without groups; without the codec there is no recording."""

from collections.abc import Mapping
from typing import Any

from sepcli.networks.gc3 import Config

from ..golden import Case

INNER = {"DPRNN": "dprnn", "TCN": "tcn", "UBlock": "ublock", "Transformer": "transformer"}
NARROW = {"num_filters": 16, "hidden": 16, "num_groups": 4, "num_layers": 1, "segment": 6}


def from_recorded(recorded: Mapping[str, Any]) -> Config:
    return Config(
        num_speakers=recorded["num_spk"],
        num_filters=recorded["enc_dim"],
        hidden=recorded["hidden_dim"],
        window=recorded["sr"] * recorded["win"] // 1000,
        num_layers=recorded["layer"],
        num_groups=recorded["group_size"],
        context=recorded["context_size"],
        segment=recorded["block_size"],
        inner=INNER[recorded["module"]],
    )


FORMS = ("dprnn", "tcn", "sudormrf", "dptnet")

CASE = Case(
    goldens=tuple(f"gc3-{form}{groups}" for form in FORMS for groups in ("", "-g1")),
    fulls=tuple(f"gc3-{form}" for form in FORMS),
    config=from_recorded,
    extras={
        f"no-codec-{inner}": Config(
            context=0, inner=inner, num_speakers=3 if inner == "tcn" else 2, window=8, **NARROW
        )
        for inner in INNER.values()
    },
    # one ill-conditioned stretch, which moves by 8e-5 when the input is scaled by 1 + 1e-7
    full_rms={"gc3-dprnn": 1e-3},
)
