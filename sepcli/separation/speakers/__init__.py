"""Who is who: the level of estimates, and the order of speakers over a whole recording; pure.

A separator gives the speakers of every chunk in an order of its own. `SpeakerTracker` hears the
chunks one after the other, keeps a few numbers of each, and decides on all orders at once. Why
the evidence is what it is: docs/speaker-order.md.
"""

from sepcli.separation.speakers.crosstalk import remove_leakage
from sepcli.separation.speakers.evidence import Embed
from sepcli.separation.speakers.levels import fit_levels
from sepcli.separation.speakers.order import SpeakerOrder, Uncertain
from sepcli.separation.speakers.tracker import SpeakerTracker

__all__ = [
    "Embed",
    "SpeakerOrder",
    "SpeakerTracker",
    "Uncertain",
    "fit_levels",
    "remove_leakage",
]
