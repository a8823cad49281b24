"""What pauses cost a separator that hears them, and what leaving them out gives back.

    python benchmarks/pauses.py ../shared/speech/dev --count 32

The mixtures of `benchmarks/mixtures.py` get pauses, which hold noise 60 dB below their level; the
separator hears each of them whole, and as `sepcli.separation.pauses` leaves it. Printed is the mean
SI-SDRi [dB] where there was speech, and what share of the recording is heard.
"""

import numpy as np
from mixtures import LEVEL, NEVER, from_command_line, improvement

from sepcli.separation import pauses
from sepcli.separation.chunking import EnergyEnvelope

NOISE_DB = -60.0
PAUSES = {  # before, in the middle, behind [s]
    "nothing": (0, 0, 0),
    "2 s before": (2, 0, 0),
    "4 s before": (4, 0, 0),
    "3 s in the middle": (0, 3, 0),
    "4 s behind": (0, 0, 4),
    "30 s around": (30, 0, 30),
}


def paused(references: np.ndarray, seconds: tuple[int, int, int], rate: int) -> np.ndarray:
    """Return where in a recording with pauses the samples of references are, `[samples]`."""
    before, middle, _ = (each * rate for each in seconds)
    places = np.arange(references.shape[1]) + before
    places[len(places) // 2 :] += middle
    return places


def main() -> None:
    """Print the table."""
    separator, clean = from_command_line(__doc__, 32)
    rate, usual = separator.entry.sample_rate, pauses.SILENT_BELOW_PEAK_DB
    chance = np.random.default_rng(2)
    print(f"{'pauses':20}{'whole':>8}{'left out':>10}{'heard':>8}")
    for name, seconds in PAUSES.items():
        rows = []
        for references in clean:
            places = paused(references, seconds, rate)
            length = references.shape[1] + sum(seconds) * rate
            mixture = chance.normal(0, LEVEL * 10 ** (NOISE_DB / 20), length).astype(np.float32)
            mixture[places] += references.sum(axis=0)
            scores = []
            for pauses.SILENT_BELOW_PEAK_DB in (NEVER, usual):
                scores.append(improvement(separator, mixture, references, places))
            envelope = EnergyEnvelope(rate)
            envelope.add(mixture)
            heard = pauses.leave_out_pauses(envelope.values, length)
            rows.append((*scores, heard.num_samples / length))
        whole, left_out, share = np.mean(rows, axis=0)
        print(f"{name:20}{whole:8.2f}{left_out:10.2f}{share:8.2f}", flush=True)


if __name__ == "__main__":
    main()
