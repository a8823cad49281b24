"""What hum, rumble and DC cost a separator, and what taking them out gives back.

    python benchmarks/rumble.py ../shared/speech/dev --count 48

Mixtures of two speakers from a folder FOLDER/**/SPEAKER/*.flac get noise below speech; the
separator hears each of them as it is and as `sepcli.separation.metering` makes it. Printed is the
mean SI-SDRi [dB] against the clean sources above 70 Hz (some recordings of speech hold rumble
themselves, which is not what is to be heard), the median share of the power that lies below speech,
and from how many mixtures it was taken out.
"""

import numpy as np
from mixtures import NEVER, from_command_line, improvement

from sepcli import SeparationOptions
from sepcli.separation import metering


def noises(num_samples: int, rate: int) -> dict[str, np.ndarray]:
    """Return what is added to the mixtures, by name."""
    time = np.arange(num_samples) / rate
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(num_samples))
    spectrum[np.fft.rfftfreq(num_samples, 1 / rate) > 30] = 0
    rumble = np.fft.irfft(spectrum, num_samples)
    return {
        "nothing": 0 * time,
        "50 Hz at 0.05": 0.05 * np.sin(2 * np.pi * 50 * time),
        "60 Hz at 0.05": 0.05 * np.sin(2 * np.pi * 60 * time),
        "50 Hz at 0.01": 0.01 * np.sin(2 * np.pi * 50 * time),
        "below 30 Hz at 0.05": 0.05 * rumble / rumble.std(),
        "DC of 0.4": 0.4 + 0 * time,
    }


def speech_of(waveform: np.ndarray, rate: int) -> np.ndarray:
    """Return what lies above 70 Hz."""
    length = len(waveform)
    return metering.without_rumble(lambda start, n: waveform[start:][:n], 0, length, length, rate)


def main() -> None:
    """Print the table."""
    separator, clean = from_command_line(__doc__, 48, SeparationOptions())
    rate, usual = separator.entry.sample_rate, metering.RUMBLE_SHARE
    print(f"{'added':22}{'share':>8}{'as it is':>10}{'taken out':>11}{'of':>5}")
    for name in noises(rate, rate):
        rows = []
        for references in clean:
            added = noises(references.shape[1], rate)[name]
            mixture = (references.sum(axis=0) + added).astype(np.float32)
            meter = metering.RumbleMeter(rate)
            meter.add(mixture)
            speech = np.stack([speech_of(reference, rate) for reference in references])
            scores = []
            for metering.RUMBLE_SHARE in (NEVER, usual):
                scores.append(improvement(separator, mixture, speech))
            rows.append((meter.rumble_share, *scores, meter.has_rumble))
        share, kept, removed, taken = np.array(rows).T
        print(f"{name:22}{np.median(share):8.3f}{kept.mean():10.2f}{removed.mean():11.2f}"
              f"{int(taken.sum()):5}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
