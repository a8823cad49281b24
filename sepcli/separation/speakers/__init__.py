"""Who is who: the level of estimates, and the order of speakers over a whole recording; pure.

A separator gives the speakers of every chunk in an order of its own. `SpeakerTracker` hears the
chunks one after the other, keeps a few numbers of each, and decides on all orders at once. Why
the evidence is what it is: docs/speaker-order.md. `TimelineBuilder` hears what became of it, and
`understand` tells from that how many people there are and who of them speaks when. `recognise` says
who of them is known.
"""

from sepcli.separation.speakers.activity import Stretch
from sepcli.separation.speakers.crosstalk import remove_leakage
from sepcli.separation.speakers.evidence import Embed
from sepcli.separation.speakers.levels import fit_levels
from sepcli.separation.speakers.order import SpeakerOrder, Uncertain
from sepcli.separation.speakers.people import MOST_PEOPLE
from sepcli.separation.speakers.recognition import (
    KnownVoices,
    Recognised,
    likeness_to,
    recognise,
    voice_of,
)
from sepcli.separation.speakers.scene import (
    Scene,
    by_outputs,
    seconds_to_tell_people,
    understand,
)
from sepcli.separation.speakers.timeline import Timeline, TimelineBuilder
from sepcli.separation.speakers.tracker import SpeakerTracker
from sepcli.separation.speakers.turns import Turn

__all__ = [
    "MOST_PEOPLE",
    "Embed",
    "KnownVoices",
    "Recognised",
    "Scene",
    "SpeakerOrder",
    "SpeakerTracker",
    "Stretch",
    "Timeline",
    "TimelineBuilder",
    "Turn",
    "Uncertain",
    "by_outputs",
    "fit_levels",
    "likeness_to",
    "recognise",
    "remove_leakage",
    "seconds_to_tell_people",
    "understand",
    "voice_of",
]
