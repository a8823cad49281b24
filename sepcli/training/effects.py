"""What recordings go through between the talkers and the file: each a function of a mixture.

An effect that passes speech through a filter changes the references with the mixture; what adds
to the mixture or distorts it leaves the references as they are, so that a network learns to undo
it.
"""

import io
from collections.abc import Callable

import numpy as np
import soundfile
from scipy.signal import butter, sosfilt

from sepcli.training.dataset import Generator, Waveform
from sepcli.training.pack import OPUS_RATES

Mixed = tuple[Waveform, Waveform]  # mixture [time], references [speakers, time]

TELEPHONE_HZ = 3800.0
MAINS_HZ = (50.0, 60.0)
RUMBLE_HZ = (40.0, 200.0)
DISTURBANCE_DB = (5.0, 25.0)  # level of the mixture over hum or rumble
CLIPPED_SHARE = (0.002, 0.03)  # of the samples
OPUS_COMPRESSION = (0.85, 1.0)  # libsndfile's scale; 1 is the lowest bit rate
HEADROOM = 1.1  # over the peak, for what coding adds
FLOOR = 1e-10


def telephone_band(
    mixture: Waveform, references: Waveform, sample_rate: int, rng: Generator
) -> Mixed:
    """Mixture and references without what a telephone line does not carry."""
    if sample_rate <= 2 * TELEPHONE_HZ:
        return mixture, references
    sections = butter(8, TELEPHONE_HZ, fs=sample_rate, output="sos")
    return (
        sosfilt(sections, mixture).astype(np.float32),
        sosfilt(sections, references).astype(np.float32),
    )


def clipping(mixture: Waveform, references: Waveform, sample_rate: int, rng: Generator) -> Mixed:
    """Mixture cut off at its highest peaks."""
    top = np.quantile(np.abs(mixture), 1 - rng.uniform(*CLIPPED_SHARE))
    return np.clip(mixture, -top, top), references


def hum(mixture: Waveform, references: Waveform, sample_rate: int, rng: Generator) -> Mixed:
    """Mixture over hum of the mains with some harmonics."""
    time = np.arange(len(mixture)) / sample_rate
    base = float(rng.choice(MAINS_HZ))
    tones = [
        rng.uniform() * np.sin(2 * np.pi * (base * number * time + rng.uniform()))
        for number in (1, 2, 3, 5)
    ]
    return _with(mixture, np.sum(tones, 0), rng), references


def rumble(mixture: Waveform, references: Waveform, sample_rate: int, rng: Generator) -> Mixed:
    """Mixture over low noise, as of wind, traffic or a touched microphone."""
    sections = butter(2, float(rng.uniform(*RUMBLE_HZ)), fs=sample_rate, output="sos")
    return _with(mixture, sosfilt(sections, rng.standard_normal(len(mixture))), rng), references


def coding(mixture: Waveform, references: Waveform, sample_rate: int, rng: Generator) -> Mixed:
    """Mixture after Opus at a low bit rate; only at the rates that Opus knows."""
    if sample_rate not in OPUS_RATES:
        return mixture, references
    peak = HEADROOM * float(np.abs(mixture).max()) + FLOOR
    coded = io.BytesIO()
    soundfile.write(
        coded,
        mixture / peak,
        sample_rate,
        format="OGG",
        subtype="OPUS",
        compression_level=float(rng.uniform(*OPUS_COMPRESSION)),
    )
    coded.seek(0)
    decoded = soundfile.read(coded, len(mixture), dtype="float32", fill_value=0.0)[0]
    return decoded * np.float32(peak), references


Effect = Callable[[Waveform, Waveform, int, Generator], Mixed]
EFFECTS: tuple[Effect, ...] = (telephone_band, clipping, hum, rumble, coding)


def apply_effect(
    mixture: Waveform, references: Waveform, sample_rate: int, rng: Generator
) -> Mixed:
    """Return mixture `[time]` and references `[speakers, time]` after one effect, drawn evenly."""
    effect = EFFECTS[int(rng.integers(len(EFFECTS)))]
    return effect(mixture, references, sample_rate, rng)


def _with(mixture: Waveform, added: np.ndarray, rng: Generator) -> Waveform:
    """The mixture, over something at a level drawn below it."""
    below = 10 ** (-rng.uniform(*DISTURBANCE_DB) / 20)
    power = np.square(mixture).mean() / (np.square(added).mean() + FLOOR)
    disturbed: Waveform = (mixture + added * np.sqrt(power) * below).astype(np.float32)
    return disturbed
