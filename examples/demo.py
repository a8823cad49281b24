"""Separate the example mixture with the command line and say how much better it became.

From the root of a clone:

    pip install . && python examples/demo.py [OPTIONS OF sepcli separate]
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch

from sepcli.evaluation.metrics import best_order, pairwise_si_sdr, reorder, si_sdr_improvement

FOLDER = Path(__file__).parent


def main() -> None:
    command = [sys.executable, "-m", "sepcli", "separate", str(FOLDER / "mixture.flac")]
    options = ["--output-dir", "separated", "--overwrite", *sys.argv[1:]]
    done = subprocess.run([*command, *options], stdout=subprocess.PIPE, text=True, check=True)
    outputs = done.stdout.splitlines()
    mixture, _ = soundfile.read(FOLDER / "mixture.flac", dtype="float32")
    references = np.stack(
        [soundfile.read(FOLDER / f"references/s{n}.flac", dtype="float32")[0] for n in (1, 2)]
    )
    estimates = np.stack([soundfile.read(path, dtype="float32")[0] for path in outputs])
    order = best_order(pairwise_si_sdr(estimates, references))
    ordered = reorder(torch.from_numpy(estimates), order)
    improvement = si_sdr_improvement(ordered, references, mixture)
    for path in outputs:
        print(path)
    print(f"SI-SDR improvement: {improvement.mean():.1f} dB")


if __name__ == "__main__":
    main()
