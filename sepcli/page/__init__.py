"""One page to look at and to listen to: spectrogram, sound and turns of every speaker of a run.

It holds all that it shows and asks for nothing else. Its size is bounded for each recording,
however long; a run's page is written as recordings are done, and appears when it is whole.
"""

from sepcli.page.document import Page
from sepcli.page.talk import Talk, Track, talk_of

__all__ = ["Page", "Talk", "Track", "talk_of"]
