"""Ensemble: our own network, so there is nothing published to be equal to."""

from dataclasses import replace

from sepcli.networks import gc3, stftformer
from sepcli.networks.ensemble import Config

from ..golden import Case

TWO = Config(
    stftformer=stftformer.Config(window=32, stride=16, dim=16, heads=2, hidden=24, num_blocks=1),
    gc3=gc3.Config(
        num_filters=16, hidden=16, window=16, num_layers=1, num_groups=4, context=4, segment=6
    ),
    wiener_windows=(32, 64),
    wiener_bands=(2, 5, 10),
)
GUIDED = replace(TWO.stftformer, bands=(4, 4, 9), band_channels=8, band_hidden=12, guided=True)

CASE = Case(extras={"two": TWO, "guided": replace(TWO, stftformer=GUIDED)})
