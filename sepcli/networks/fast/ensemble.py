"""Ensemble: GC3 as in its fast form; the transformer has none."""

from sepcli.networks.fast import gc3

FORMS = gc3.FORMS
