"""GALR: nothing of it is published; see tests/networks/test_galr.py for the paper's figures."""

from sepcli.networks.galr import Config

from ..golden import Case

NARROW = {"filters": 8, "hidden": 6, "num_heads": 2, "num_blocks": 2}

CASE = Case(
    extras={
        "narrow": Config(kernel_size=8, segment=10, positions=3, **NARROW),
        "three": Config(num_speakers=3, kernel_size=4, segment=16, positions=8, **NARROW),
    }
)
