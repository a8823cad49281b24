"""Make the example mixture and its references from two telephone prompts of Debian's packages.

    pip install . && python examples/make_mixture.py SPANISH.wav ITALIAN.wav

Both are called demo-instruct.wav; examples/LICENSE.md names the packages that hold them
(`apt-get download`, then `dpkg-deb -x`).
"""

import sys
from pathlib import Path

import numpy as np
import soundfile

SECONDS = 8.0
OFFSETS_SECONDS = (12.0, 22.0)  # where both talk all the time
RMS = 0.06  # leaves head-room for the sum of two voices


def main() -> None:
    folder = Path(__file__).parent
    references = []
    for path, offset in zip(sys.argv[1:3], OFFSETS_SECONDS, strict=True):
        waveform, sample_rate = soundfile.read(path, dtype="float64")
        start = int(offset * sample_rate)
        piece = waveform[start : start + int(SECONDS * sample_rate)]
        references.append(piece * RMS / np.sqrt(np.mean(piece**2)))
    (folder / "references").mkdir(exist_ok=True)
    for number, reference in enumerate(references, start=1):
        soundfile.write(folder / "references" / f"s{number}.flac", reference, sample_rate)
    soundfile.write(folder / "mixture.flac", sum(references), sample_rate)


if __name__ == "__main__":
    main()
