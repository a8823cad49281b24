"""TDANet: its U block in few passes."""

from sepcli.networks.fast.ublock import FORMS

__all__ = ["FORMS"]
