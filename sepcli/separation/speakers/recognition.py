"""Who of the people in a recording is known by name: their voices against those given; pure."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sepcli.separation.speakers.evidence import Embed
from sepcli.separation.speakers.people import unit
from sepcli.separation.speakers.timeline import HOP_SECONDS, WINDOW_SECONDS

Array = np.ndarray[Any, np.dtype[np.float32]]

SPEECH_BELOW_PEAK_DB = 30.0  # windows this much weaker than the loudest are pauses


@dataclass(frozen=True)
class KnownVoices:
    """People whose voices were given.

    Attributes:
        names: What they are called.
        voices: What they sound like, `[names, dims]`, of length one.
        min_likeness: Of a voice to one of these; whoever is less alike is nobody known.
    """

    names: tuple[str, ...]
    voices: Array
    min_likeness: float


@dataclass(frozen=True)
class Recognised:
    """What is known of a person in a recording.

    Attributes:
        name: What they are called; None for nobody known.
        likeness: To the voice of that name, else to the nearest of all that were given, from -1
            to 1; None where nothing can be compared.
    """

    name: str | None = None
    likeness: float | None = None


def recognise(voices: Array, known: KnownVoices | None) -> tuple[Recognised, ...]:
    """Return who is who: at most one person a name, so that all together are most alike.

    Args:
        voices: What the people of a recording sound like, `[people, dims]`; zero, or without dims,
            of who was not heard well enough.
        known: Who may be among them; None for nobody.
    """
    if known is None or voices.shape[1] == 0:
        return (Recognised(),) * len(voices)
    from scipy.optimize import linear_sum_assignment  # few give voices, and it takes a while

    likeness = voices @ known.voices.T
    found = [
        Recognised(None, float(row.max()) if voice.any() else None)
        for voice, row in zip(voices, likeness, strict=True)
    ]
    # less alike than it takes counts nothing, so that it never costs another person their name
    gain = np.maximum(likeness - known.min_likeness, 0.0)
    for person, name in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
        if gain[person, name] > 0.0:
            found[person] = Recognised(known.names[name], float(likeness[person, name]))
    return tuple(found)


def voice_of(samples: Array, sample_rate: int, embed: Embed) -> Array:
    """Return what somebody alone sounds like, `[dims]`, heard in windows as conversations are.

    Args:
        samples: Of their speech, at least a window of it.
        sample_rate: In Hz.
        embed: Embeds a waveform at a rate.
    """
    length, hop = round(WINDOW_SECONDS * sample_rate), round(HOP_SECONDS * sample_rate)
    windows = np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]
    power = np.square(windows).mean(axis=1)
    loud = windows[power >= power.max() * 10.0 ** (-SPEECH_BELOW_PEAK_DB / 10.0)]
    return unit(np.sum([embed(window, sample_rate) for window in loud], axis=0))


def likeness_to(name: str, voices: Array, known: KnownVoices) -> float:
    """Return how alike the person of a recording is who is most like a known one; 0 if none is.

    Args:
        name: Of the known one.
        voices: What the people of the recording sound like, `[people, dims]`.
        known: Who is known.
    """
    if voices.shape[1] == 0:
        return 0.0
    return max(0.0, float((voices @ known.voices[known.names.index(name)]).max(initial=0.0)))
