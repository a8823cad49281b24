"""What hum, rumble and DC cost a separator, and what taking them out gives back.

    python benchmarks/rumble.py ../shared/speech/dev --count 48

Mixtures of two speakers from a folder FOLDER/**/SPEAKER/*.flac get noise below speech; the
separator hears each of them as it is and as `sepcli.separation.metering` makes it. Printed is the
mean SI-SDRi [dB] against the clean sources above 70 Hz (some recordings of speech hold rumble
themselves, which is not what is to be heard), the median share of the power that lies below speech,
and from how many mixtures it was taken out.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from sepcli import Separator
from sepcli.audio import AudioReader, downmix, resample_blocks
from sepcli.evaluation.metrics import best_order, pairwise_si_sdr, si_sdr
from sepcli.models.registry import DEFAULT_MODEL
from sepcli.separation import metering

SECONDS, LEVEL = 6.0, 0.07  # of a mixture: length, and root of its mean power
NEVER = float("inf")


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


def mixtures(folder: Path, count: int, rate: int) -> list[np.ndarray]:
    """Return references `[2, samples]` of different speakers, at most 2.5 dB apart."""
    speakers = defaultdict(list)
    for path in sorted(folder.rglob("*.flac")) + sorted(folder.rglob("*.wav")):
        speakers[path.parent].append(path)
    names, chance = sorted(speakers), np.random.default_rng(1)
    found: list[np.ndarray] = []
    while len(found) < count:
        pair = [speakers[names[i]] for i in chance.choice(len(names), 2, replace=False)]
        voices = [_read(paths[chance.integers(len(paths))], rate) for paths in pair]
        length = min(*map(len, voices), round(SECONDS * rate))
        if length < SECONDS / 2 * rate:
            continue
        both = np.stack([voice[:length] / voice[:length].std() for voice in voices])
        both[1] *= 10 ** (chance.uniform(-2.5, 2.5) / 20)
        found.append((both * LEVEL / both.sum(axis=0).std()).astype(np.float32))
    return found


def _read(path: Path, rate: int) -> np.ndarray:
    with AudioReader(path) as reader:
        blocks = map(downmix, reader.blocks())
        return np.concatenate(list(resample_blocks(blocks, reader.info.sample_rate, rate)))


def speech_of(waveform: np.ndarray, rate: int) -> np.ndarray:
    """Return what lies above 70 Hz."""
    length = len(waveform)
    return metering.without_rumble(lambda start, n: waveform[start:][:n], 0, length, length, rate)


def improvement(separator: Separator, mixture: np.ndarray, references: np.ndarray) -> float:
    """Return the mean SI-SDRi [dB], over what the clean mixture had."""
    rate = separator.entry.sample_rate
    estimates = separator.separate(mixture, rate).estimates
    references = np.stack([speech_of(reference, rate) for reference in references])
    scores = pairwise_si_sdr(estimates, references)
    order = best_order(scores)
    clean = references.sum(axis=0)
    gains = [
        scores[order[k], k] - si_sdr(clean, reference) for k, reference in enumerate(references)
    ]
    return float(np.mean([float(gain) for gain in gains]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    separator = Separator.from_pretrained(options.model)
    rate, usual = separator.entry.sample_rate, metering.RUMBLE_SHARE
    clean = mixtures(options.folder, options.count, rate)
    print(f"{'added':22}{'share':>8}{'as it is':>10}{'taken out':>11}{'of':>5}")
    for name in noises(rate, rate):
        rows = []
        for references in clean:
            mixture = references.sum(axis=0) + noises(references.shape[1], rate)[name]
            meter = metering.RumbleMeter(rate)
            meter.add(mixture.astype(np.float32))
            scores = []
            for metering.RUMBLE_SHARE in (NEVER, usual):
                scores.append(improvement(separator, mixture.astype(np.float32), references))
            rows.append((meter.rumble_share, *scores, meter.has_rumble))
        share, kept, removed, taken = np.array(rows).T
        print(f"{name:22}{np.median(share):8.3f}{kept.mean():10.2f}{removed.mean():11.2f}"
              f"{int(taken.sum()):5}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
