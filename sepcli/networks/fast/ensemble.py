"""Ensemble: its networks have their own forms."""

from sepcli.networks.fast import Forms

FORMS: Forms = {}
