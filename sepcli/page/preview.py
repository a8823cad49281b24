"""A track → what a page holds of it: compressed sound of bounded size, and its spectrogram."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

from sepcli.audio import AudioReader, mono_blocks, resample_blocks
from sepcli.audio.ogg_serial import settle_serial
from sepcli.page.spectrogram import Spectrogram
from sepcli.page.talk import Track

Array = np.ndarray[Any, np.dtype[np.float32]]

RATE = 12_000  # Hz; Opus takes some 25 kbit/s of speech at this rate, and 2 of silence
STEP = RATE  # samples: so far the size may go beyond what is allowed


@dataclass(frozen=True)
class Preview:
    """What a page holds of a track.

    Attributes:
        sound: Ogg Opus; empty where there is no room for any.
        sound_seconds: How far it goes [s].
        power: Spectrogram, `[rows, columns]`.
    """

    sound: bytes
    sound_seconds: float
    power: Array


def preview_of(track: Track, seconds: float, most_bytes: int) -> Preview:
    """Return the preview of a track; its sound ends where it takes more room than it may.

    Args:
        track: Which.
        seconds: Its length [s].
        most_bytes: Of sound.

    Raises:
        AudioError: It cannot be read.
    """
    picture = Spectrogram(round(seconds * RATE), RATE)
    sound = io.BytesIO()
    num_heard = 0
    with soundfile.SoundFile(sound, "w", RATE, 1, "OPUS", format="OGG") as encoder:
        for block in _blocks(track):
            picture.add(block)
            for start in range(0, len(block), STEP):
                if sound.tell() >= most_bytes:
                    break
                part = block[start : start + STEP]
                encoder.write(np.clip(part, -1.0, 1.0))
                num_heard += len(part)
    settle_serial(sound)
    content = sound.getvalue() if num_heard else b""
    return Preview(content, num_heard / RATE, picture.power())


def _blocks(track: Track) -> Iterator[Array]:
    """Yield the samples of a track, `[samples]`, at the rate of previews."""
    with AudioReader(track.path, track=track.audio_track) as reader:
        reader.select(*track.span)
        if track.channel is None:
            mono = mono_blocks(reader)
        else:
            mono = (block[:, track.channel] for block in reader.blocks())
        yield from resample_blocks(mono, reader.info.sample_rate, RATE)
