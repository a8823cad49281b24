"""GroupComm Sudo rm -rf: TAC and U blocks in place and in tiles."""

from sepcli.networks.fast.groupcomm import FORMS

__all__ = ["FORMS"]
