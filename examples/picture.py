"""Draw the README's picture: spectrograms of the example mixture and of its two estimates.

From the root of a clone:

    pip install '.[metrics]' && python examples/picture.py  # writes docs/example.png
"""

from pathlib import Path

import matplotlib
import numpy as np
import soundfile

from sepcli import Separator

matplotlib.use("Agg")
from matplotlib import pyplot as plt

FOLDER = Path(__file__).parent


def main() -> None:
    mixture, sample_rate = soundfile.read(FOLDER / "mixture.flac", dtype="float32")
    separation = Separator.from_pretrained().separate(mixture, sample_rate)
    rows = {"mixture": mixture}
    rows |= {f"speaker {n}": waveform for n, waveform in enumerate(separation.estimates, start=1)}
    figure, axes = plt.subplots(len(rows), 1, figsize=(9, 6), sharex=True, layout="constrained")
    for axis, (title, waveform) in zip(axes, rows.items(), strict=True):
        axis.specgram(
            waveform + 1e-9 * np.random.default_rng(0).standard_normal(len(waveform)),
            NFFT=256,
            noverlap=192,
            Fs=sample_rate,
            vmin=-120,
            vmax=-40,
            cmap="magma",
        )
        axis.set(ylabel="frequency [Hz]", title=title)
    axes[-1].set_xlabel("time [s]")
    figure.savefig(FOLDER.parent / "docs" / "example.png", dpi=80)


if __name__ == "__main__":
    main()
