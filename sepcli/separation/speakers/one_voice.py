"""Where a recording holds one voice at a time, and in which output; pure."""

from typing import Any

import numpy as np

from sepcli.separation.chunking import STEP_DB
from sepcli.separation.speakers.people import MIN_PIECES, Pieces, thinned
from sepcli.separation.speakers.timeline import HOP_SECONDS, Timeline
from sepcli.separation.speakers.turns import Mask
from sepcli.separation.speakers.windows import Windows

Array = np.ndarray[Any, np.dtype[np.float32]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]

MIN_SHARE_SPEECH = 0.6  # of a window that people are told by
MIN_ODDS_ALONE, MAX_ODDS_TOGETHER = 5.0, 3.0  # of `Windows.alone`: above the one, below the other
# One talker alone is loud in one output: of 30, over 60 s each, most had both this near for 1 % of
# their speech, and two, whom the network leaves in both, for a quarter; of 30 pairs 13 to 57 %.
NEAR_DB, MIN_SHARE_NEAR = 10.0, 0.12


def one_voice_each(windows: Windows) -> tuple[Pieces, float, float]:
    """Return what is heard of one voice at a time, and for how long [s].

    Where one person most likely speaks alone, that is the recording itself; where two most likely
    speak, each of the two strongest outputs.

    Returns:
        The pieces that are to be clustered, seconds of which one speaks, and of which two do.
    """
    alone = windows_alone(windows)
    is_full = windows.speech > MIN_SHARE_SPEECH
    together = np.flatnonzero(is_full & (windows.alone() < MAX_ODDS_TOGETHER))
    beside = together[windows.is_heard[together]]
    outputs = 1 + windows.strongest[beside].T
    places = np.concatenate([alone, *[beside] * len(outputs)])
    signals = np.concatenate([np.zeros_like(alone), *outputs])
    kept = thinned(places)
    ends = np.cumsum([len(alone), *[len(beside)] * len(outputs)])[:-1]
    parts = zip(*(np.split(each, ends) for each in (places, signals, kept)), strict=True)
    pieces = Pieces(
        voices=np.concatenate([windows.embeddings(at[k], signal[k]) for at, signal, k in parts]),
        windows=places[kept],
    )
    return pieces, len(alone) * HOP_SECONDS, len(together) * HOP_SECONDS


def windows_alone(windows: Windows) -> IntArray:
    """Return the windows in which one person most likely speaks alone."""
    is_full = windows.speech > MIN_SHARE_SPEECH
    return np.flatnonzero(is_full & (windows.alone() > MIN_ODDS_ALONE))


def voices_by_output(windows: Windows, num_outputs: int) -> Array | None:
    """Return what is heard of one person where each output is the strongest, `[outputs, dims]`.

    None where one output is hardly ever the strongest.
    """
    alone = windows_alone(windows)
    members = windows.strongest[alone, 0] == np.arange(num_outputs)[:, np.newaxis]
    if members.sum(axis=1).min() < MIN_PIECES:
        return None
    return np.stack([windows.voice(alone[each], 0) for each in members])


def two_at_once(timeline: Timeline, speaks: Mask) -> bool:
    """Return whether two outputs or more are near the strongest for much of the speech."""
    num_frames = num_near = 0
    for part in timeline.parts():
        levels = timeline.levels[1:, part][:, speaks[part]].astype(np.int16)
        near = (levels > levels.max(axis=0) - NEAR_DB / STEP_DB).sum(axis=0)
        num_frames, num_near = num_frames + len(near), num_near + int(np.sum(near > 1))
    return num_near > MIN_SHARE_NEAR * num_frames
