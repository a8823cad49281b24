"""A talk of three people on disk, whose turns, doubts and sounds are known."""

from pathlib import Path

import numpy as np
import soundfile

from sepcli.page import Talk, Track
from sepcli.separation.speakers import Turn
from sepcli.separation.writing import Uncertainty

RATE = 8000
TONES_HZ = (500.0, 1500.0, 2500.0)
TURNS = (Turn(0.5, 2.0, 0), Turn(1.5, 3.0, 1), Turn(4.0, 5.0, 2), Turn(5.5, 6.0, 0))
SECONDS = 6.0


def talk_in(folder: Path, title: str = "talk.wav", name: str = "spk") -> Talk:
    """Return a talk in which each person is a tone of their own while they speak."""
    time = np.arange(round(SECONDS * RATE)) / RATE
    waveforms = np.zeros((3, len(time)))
    for turn in TURNS:
        inside = (time >= turn.start_seconds) & (time < turn.stop_seconds)
        waveforms[turn.speaker] += 0.2 * np.sin(2 * np.pi * TONES_HZ[turn.speaker] * time) * inside
    soundfile.write(folder / "talk.wav", waveforms.sum(axis=0), RATE)
    soundfile.write(folder / "talk_speakers.wav", waveforms.T, RATE)
    people = (
        Track(f"{name}{number + 1}", folder / "talk_speakers.wav", number, number)
        for number in range(3)
    )
    return Talk(
        title=title,
        seconds=SECONDS,
        tracks=(Track("recording", folder / "talk.wav"), *people),
        turns=TURNS,
        uncertain=(Uncertainty(2.0, 2.5, 0.125),),
        remarks=("a remark",),
    )
