"""Channels → one: the mean, with channels turned over that would cancel each other.

A stereo recording whose sides are opposite in phase (a cable soldered the wrong way round, L = -R)
has a silent mean. A channel is turned over where what came so far shows that it runs against the
first loud one; the first block with sound decides in nearly every recording.

Speech is to decide, not DC, hum, a thump or a click. So second differences over half a millisecond
are compared, which hold what is below 60 Hz at a hundredth of what is at 1 kHz, and their square
roots, in which what is loud for an instant only does not outweigh the rest.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sepcli.audio.reader import AudioReader

Samples = npt.NDArray[np.float32]

OPPOSITE = -0.5  # correlation of these roots with those of the leading channel
LEADING = 0.5  # of the most energy: the first channel with so much leads
MAX_CHANNELS = 8  # of more than this, none is turned over
DIFFERENCES_A_SECOND = 2000


def downmix(block: Samples) -> Samples:
    """Return the mean over channels, `[samples, channels] → [samples]`.

    The mean keeps a voice that is in one channel only, at half its level for stereo, and cannot
    clip.
    """
    if block.ndim == 1:
        return block
    if block.shape[1] == 1:
        return block[:, 0]
    mean: Samples = block.mean(axis=1, dtype=np.float32)
    return mean


class Downmixer:
    """Mixes a recording down block by block.

    Args:
        num_channels: Of the recording.
        sample_rate: Of the recording [Hz].

    Attributes:
        has_turned: Whether a channel was turned over.
    """

    def __init__(self, num_channels: int, sample_rate: int) -> None:
        self.has_turned = False
        self._step = max(1, sample_rate // DIFFERENCES_A_SECOND)
        self._products = np.zeros((num_channels, num_channels))
        self._is_watching = 1 < num_channels <= MAX_CHANNELS

    def mix(self, block: Samples) -> Samples:
        """Return the next block in one channel, `[samples, channels] → [samples]`."""
        if not self._is_watching:
            return downmix(block)
        differences = block
        for _ in range(2):
            differences = differences[self._step :] - differences[: -self._step]
        roots = np.copysign(np.sqrt(np.abs(differences)), differences)
        self._products += roots.T @ roots
        energies = np.diag(self._products)
        leader = int((energies >= LEADING * energies.max()).argmax())
        scale = np.sqrt(energies * energies[leader])
        correlation = self._products[leader] / np.maximum(scale, np.finfo(float).tiny)
        signs = np.where(correlation < OPPOSITE, -1, 1).astype(np.float32)
        if (signs > 0).all():
            return downmix(block)
        self.has_turned = True
        return downmix(block * signs)


def mono_blocks(reader: AudioReader) -> Iterator[Samples]:
    """Yield a recording in one channel, block by block, `[samples]`."""
    mixer = Downmixer(reader.info.num_channels, reader.info.sample_rate)
    for block in reader.blocks():
        yield mixer.mix(block)
