"""Kill `sepcli separate` at random moments and look at what it leaves behind.

Each round starts a run over a folder of short recordings, sends it SIGINT, SIGTERM or SIGKILL at a
random moment, and checks that every file under its final name is, byte for byte, what an
undisturbed run writes; that a run which could still act left no temporary file, said 130 or 143
and showed no traceback; and that the next run with --skip-existing finishes the rest and tidies up.

Example: python benchmarks/kill_batch.py --rounds 100
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from long_recording import write_tiny_model

NUM_RECORDINGS = 20
RATE = 8000
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def command(folder: Path, out: Path) -> list[str]:
    """Return the command line of one run."""
    options = ["--model", str(folder / "tiny"), "-o", str(out), "--skip-existing", "--quiet"]
    return [sys.executable, "-m", "sepcli", "separate", str(folder / "in"), *options]


def write_recordings(folder: Path) -> None:
    """Write short recordings of noise, each its own."""
    folder.mkdir()
    for number in range(NUM_RECORDINGS):
        noise = np.random.default_rng(number).uniform(-0.3, 0.3, RATE * (1 + number % 4))
        soundfile.write(folder / f"{number:02}.wav", noise, RATE)


def contents(folder: Path) -> dict[str, bytes]:
    """Return name → bytes of all files in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def check(
    out: Path, expected: dict[str, bytes], number: signal.Signals, code: int, said: str
) -> list[str]:
    """Return what is wrong after a killed run that ended with `code` and said this on stderr."""
    left = contents(out)
    wrong = [f"traceback after {number.name}:\n{said}"] if "Traceback" in said else []
    for name, data in left.items():
        if name.startswith("."):
            if number is not signal.SIGKILL:
                wrong.append(f"temporary left after {number.name}: {name}")
        elif data != expected.get(name):
            wrong.append(f"wrong bytes after {number.name}: {name}")
    if len(left) < len(expected) and code not in (-number, 128 + number):
        wrong.append(f"exit code {code} after {number.name}")
    return wrong


def main() -> None:
    """Run all rounds; exit with 1 if one of them found something wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    wrong: list[str] = []
    interrupted = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tiny_model(folder / "tiny")
        write_recordings(folder / "in")
        started = time.monotonic()
        subprocess.run(command(folder, folder / "all"), check=True, stdout=subprocess.DEVNULL)
        usual = time.monotonic() - started
        expected = contents(folder / "all")
        out = folder / "out"
        for turn in range(arguments.rounds):
            number = SIGNALS[turn % len(SIGNALS)]
            process = subprocess.Popen(
                command(folder, out),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            time.sleep(chance.uniform(0.0, 1.05) * usual)
            process.send_signal(number)
            _, said = process.communicate(timeout=120)
            interrupted += process.returncode != 0
            wrong += check(out, expected, number, process.returncode, said)
            if turn % 5 == 4:  # finish the rest, then start afresh
                done = subprocess.run(command(folder, out), stdout=subprocess.DEVNULL)
                if done.returncode or contents(out) != expected:
                    wrong.append(f"the run after round {turn} did not finish the rest")
                shutil.rmtree(out, ignore_errors=True)
    print(f"{arguments.rounds} rounds, {interrupted} interrupted, {len(wrong)} faults")
    print(*wrong, sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
