"""STFT transformer: our own network, so there is nothing published to be equal to."""

from sepcli.networks.stftformer import Config

from ..golden import Case

CASE = Case(
    extras={
        "two": Config(window=32, stride=16, dim=16, heads=2, hidden=24, num_blocks=2),
        "three": Config(
            num_speakers=3,
            window=64,
            stride=16,
            dim=12,
            heads=1,
            hidden=8,
            num_blocks=1,
            compression=1.0,
        ),
        "bands": Config(
            window=32,
            stride=16,
            dim=16,
            heads=2,
            hidden=24,
            num_blocks=2,
            bands=(2, 2, 3, 10),
            band_channels=4,
            band_hidden=8,
        ),
    },
)
