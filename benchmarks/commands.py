"""Time whole commands of `sepcli separate`, start-up and files included.

    OMP_NUM_THREADS=1 python benchmarks/commands.py [--model stftformer-8k] [--runs 3]

Noise of one second, a minute, ten minutes and an hour, and 300 recordings of three seconds.
Processor time of the command, since other work on the machine disturbs the time on the clock;
medians of runs.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

RATE = 8000  # Hz
CASES = {
    "1 s": (1, 1),
    "1 min": (1, 60),
    "10 min": (1, 600),
    "60 min": (1, 3600),
    "300 x 3 s": (300, 3),
}  # how many, of how many seconds


def processor_time() -> float:
    """Return what the commands run so far took [s]."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(folder: Path, model: str) -> float:
    """Return what separating a folder of recordings takes [s]."""
    before = processor_time()
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, "-m", "sepcli", "separate", folder, "-m", model, "-o", output]
        subprocess.run([*map(str, command), "-q"], check=True, stdout=subprocess.DEVNULL)
    return processor_time() - before


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="stftformer-8k")
    parser.add_argument("--runs", type=int, default=3, help="of each")
    options = parser.parse_args()
    noise = np.random.default_rng(0)
    print("| recordings | processor time |\n|---|---|")
    for case, (count, seconds) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            for number in range(count):
                samples = 0.1 * noise.standard_normal(seconds * RATE)
                soundfile.write(Path(folder) / f"{number:03}.wav", samples, RATE)
            times = [timed(Path(folder), options.model) for _ in range(options.runs)]
        print(f"| {case} | {statistics.median(times):.1f} s |", flush=True)


if __name__ == "__main__":
    main()
