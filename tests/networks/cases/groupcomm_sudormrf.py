"""GroupComm Sudo rm -rf: there is no recording of it."""

from sepcli.networks.groupcomm_sudormrf import Config

from ..golden import Case

SIZES = {"num_filters": 12, "channels": 8, "hidden": 16, "num_groups": 4, "num_blocks": 2}

CASE = Case(
    extras={
        "narrow": Config(depth=3, **SIZES),
        "three-speakers": Config(depth=2, num_speakers=3, kernel_size=9, **SIZES),
    },
)
