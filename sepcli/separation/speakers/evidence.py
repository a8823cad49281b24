"""What one chunk tells about who is who, in a few numbers.

Estimates leak: the output of somebody silent holds a faint copy of whoever speaks. So an output is
heard only where it is about as strong as any other, for its voice only where it dominates;
otherwise leakage has a vote, and in pauses of its speaker the only one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Protocol, runtime_checkable

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Embed = Callable[[Array, int], Array]

FRAME_SECONDS = 0.02
VOICE_RATIO = 10.0**0.3  # 3 dB over everyone else: enough to sound like its speaker
ACTIVE_RATIO = 10.0**-0.3  # 3 dB below the strongest somebody speaks; leakage is weaker than that
SMOOTHING_FRAMES = 5  # pieces of a voice shorter than 100 ms are no use to an embedding
FLOOR_RATIO = 1e-3  # 30 dB below the loudest frame of the chunk nobody speaks
SILENCE = 1e-12  # power of what is not speech at any gain: -120 dB
MIN_VOICE_SECONDS = 0.3  # an embedding of less is noise
FULL_VOICE_SECONDS = 3.0  # somebody heard for so long is surely one speaker, not stray frames
MOST_VOICE_SECONDS = 2.0  # listened to: more of a long chunk costs time and changes no decision
MIN_AGREEMENT_SECONDS = 0.1
FULL_AGREEMENT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ChunkEvidence:
    """What is kept of a chunk.

    Attributes:
        start: Its first sample.
        stop: The sample after its last.
        voices: Embedding of each output, `[speakers, dims]`, zero where it was not heard enough;
            half precision, for hours have thousands of chunks.
        trust: How far each embedding is to be trusted, 0 to 1, `[speakers]`.
        seconds: How long each output holds speech, not leakage [s], `[speakers]`.
        onsets: First sample at which each output does; `stop` if it never does.
        power: Mean power of each output while it does, `[speakers]`.
        agreement: Of each output of the chunk before with each output of this one,
            `[speakers, speakers]`, 0 to 1; all 0 where nothing can be said.
    """

    start: int
    stop: int
    voices: np.ndarray[Any, np.dtype[np.float16]]
    trust: Array
    seconds: Array
    onsets: np.ndarray[Any, np.dtype[np.int64]]
    power: Array
    agreement: Array


@runtime_checkable
class Sliding(Protocol):
    """An `Embed` that takes less time for windows that overlap than for each on its own."""

    def sliding(self, samples: Array, sample_rate: int, window: int, hop: int) -> Array:
        """Return the embedding of each window, `[windows, dims]`.

        Args:
            samples: A waveform `[samples]` of at least one window.
            sample_rate: Its rate [Hz].
            window: Length of a window [samples].
            hop: Distance of their starts [samples].
        """


def embed_windows(
    embed: Embed | Sliding, samples: Array, sample_rate: int, window: int, hop: int
) -> Array:
    """Return what `embed` makes of each window, `[windows, dims]`; arguments as of `Sliding`."""
    if isinstance(embed, Sliding):
        return embed.sliding(samples, sample_rate, window, hop)
    starts = range(0, len(samples) - window + 1, hop)
    return np.stack([embed(samples[k : k + window], sample_rate) for k in starts])


def frame_power(estimates: Array, frame: int) -> Array:
    """Return the power of whole frames, `[speakers, samples]` → `[speakers, frames]`."""
    whole = estimates.shape[1] // frame * frame
    frames = estimates[:, :whole].reshape(len(estimates), -1, frame)
    return np.asarray(np.einsum("kfs,kfs->kf", frames, frames) / np.float32(frame))


def dominant(power: Array, ratio: float, floor: float = 0.0) -> Mask:
    """Return in which frames each output is `ratio` times as strong as any other.

    Args:
        power: Of frames, `[speakers, frames]`.
        ratio: Of powers.
        floor: Least power; never less than what the loudest frame allows.
    """
    if not power.size:
        return np.zeros(power.shape, np.bool_)
    floor = max(floor, FLOOR_RATIO * float(power.max()), SILENCE)
    others = np.zeros(power.shape, power.dtype)
    for one, other in permutations(range(len(power)), 2):
        np.maximum(others[one], power[other], out=others[one])
    return np.asarray((power > ratio * others) & (power > floor))


def voiced_frames(power: Array) -> Mask:
    """Return the frames in which each output is fit for an embedding, `[speakers, frames]`."""
    if power.shape[1] < SMOOTHING_FRAMES:
        return np.zeros(power.shape, np.bool_)
    window = np.ones(SMOOTHING_FRAMES, np.float32) / SMOOTHING_FRAMES
    smooth = [np.convolve(row, window, "same") for row in power]
    return dominant(np.stack(smooth).astype(np.float32), VOICE_RATIO)


def agreement(
    before: Array, after: Array, frame: int, frames_a_second: float, floor: float = 0.0
) -> Array:
    """Return how well the outputs of two chunks agree where they overlap, `[speakers, speakers]`.

    For each output that holds speech for long enough: the share of its energy that each output of
    the other chunk explains, `1 - ‖x - y‖² / ‖x‖²`, at least 0; both ways, averaged. A leaked
    copy explains little, since its level is wrong; correlation would not see the difference.

    Args:
        before: Outputs of one chunk in the overlap, `[speakers, samples]`.
        after: Outputs of the next one there.
        frame: Samples in a frame.
        frames_a_second: Their rate.
        floor: Power of a frame below which nobody speaks: the overlap may be a pause.
    """
    forth = _explained(before, after, frame, frames_a_second, floor)
    back = _explained(after, before, frame, frames_a_second, floor)
    return np.asarray((forth + back.T) / 2, dtype=np.float32)


def _explained(one: Array, other: Array, frame: int, frames_a_second: float, floor: float) -> Array:
    """Return the weighted share of each row of `one` that each row of `other` explains."""
    mask = dominant(frame_power(one, frame), ACTIVE_RATIO, floor)
    scores = np.zeros((len(one), len(other)), np.float32)
    for speaker, frames in enumerate(mask):
        seconds = np.count_nonzero(frames) / frames_a_second
        if seconds < MIN_AGREEMENT_SECONDS:
            continue
        heard = _cut(one[speaker], frames, frame)
        answers = np.stack([_cut(row, frames, frame) for row in other])
        missing = ((answers - heard) ** 2).sum(axis=1, dtype=np.float64)
        share = 1.0 - missing / np.square(heard).sum(dtype=np.float64)
        scores[speaker] = np.maximum(share, 0.0) * min(1.0, seconds / FULL_AGREEMENT_SECONDS)
    return scores


def _cut(samples: Array, frames: Mask, frame: int) -> Array:
    """Return the samples of the frames that are set, joined, `[samples]`."""
    whole = len(frames) * frame
    return samples[:whole].reshape(-1, frame)[frames].ravel()


def voices(
    estimates: Array, mask: Mask, frame: int, sample_rate: int, embed: Embed
) -> tuple[Array, Array]:
    """Return the embedding of each output and how far to trust it; see `ChunkEvidence`.

    Args:
        estimates: Outputs of a chunk, `[speakers, samples]`.
        mask: The frames to listen to, `[speakers, frames]`.
        frame: Samples in a frame.
        sample_rate: Of the estimates [Hz].
        embed: Embeds a waveform at a rate.
    """
    found: list[Array | None] = [None] * len(estimates)
    trust = np.zeros(len(estimates), np.float32)
    most = round(MOST_VOICE_SECONDS * sample_rate / frame)
    for speaker, frames in enumerate(mask):
        seconds = np.count_nonzero(frames) * frame / sample_rate
        if seconds >= MIN_VOICE_SECONDS:
            heard = frames & (np.cumsum(frames) <= most)
            found[speaker] = embed(_cut(estimates[speaker], heard, frame), sample_rate)
            trust[speaker] = min(1.0, seconds / FULL_VOICE_SECONDS)
    dims = next((len(voice) for voice in found if voice is not None), 0)
    silent = np.zeros(dims, np.float32)
    return np.stack([silent if voice is None else voice for voice in found]), trust
