"""Peak memory and time of `sepcli separate` against the length of the recording.

    python benchmarks/long_recording.py --minutes 2 10 60 480
    python benchmarks/long_recording.py --minutes 2 600 --repeat talk.wav -- --speakers auto

Each recording is separated by a fresh process, with the options after `--`, so that its peak memory
is its own. Without `--model` a very small network with random weights is used, which isolates what
the tool itself costs. Without `--repeat` recordings are noise; a conversation has people to find.
"""

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import safetensors.torch
import soundfile
import torch

from sepcli.networks import spgm

CHANNELS = 2
NOISE_SECONDS = 20  # as loud as speech, cheap to make


def make_noise(sample_rate: int) -> np.ndarray:
    """Return noise whose level rises and falls like speech, `[samples, channels]`."""
    random = np.random.default_rng(0)
    noise = random.standard_normal((NOISE_SECONDS * sample_rate, CHANNELS)).astype(np.float32)
    time_axis = np.arange(len(noise)) / sample_rate
    return noise * 0.05 * np.sin(np.pi * 1.3 * time_axis)[:, np.newaxis] ** 4


def write_recording(path: Path, minutes: float, piece: np.ndarray, sample_rate: int) -> None:
    """Write a piece again and again, `[samples, channels]`."""
    left, channels = round(minutes * 60 * sample_rate), piece.shape[1]
    container = "RF64" if left * channels * 2 > 2**32 - 2**16 else "WAV"
    with soundfile.SoundFile(path, "w", sample_rate, channels, "PCM_16", format=container) as file:
        while left > 0:
            file.write(piece[:left])
            left -= len(piece)


def write_tiny_model(folder: Path) -> None:
    """Write a model folder whose network costs next to nothing."""
    config = spgm.Config(
        channels=4, kernel_size=160, segment=20, blocks=1, layers=1, heads=1, hidden=4
    )
    folder.mkdir()
    torch.manual_seed(0)
    state = {key: value.contiguous() for key, value in spgm.Network(config).state_dict().items()}
    safetensors.torch.save_file(state, folder / "model.safetensors")
    fields = {k: v for k, v in dataclasses.asdict(config).items() if v is not None}
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    (folder / "model.toml").write_text(
        'architecture = "spgm"\nformat = "safetensors"\nfiles = ["model.safetensors"]\n'
        "speakers = 2\nsample_rate = 8000\nchunk_seconds = 8.0\noverlap_seconds = 2.0\n"
        "[config]\n" + "\n".join(lines) + "\n"
    )


def measure(recording: Path, model: str, out: Path, options: list[str]) -> tuple[float, float]:
    """Return the wall time [s] and the peak memory [MB] of one separation."""
    shutil.rmtree(out, ignore_errors=True)  # of a shorter one, in which others may be heard
    command = [sys.executable, "-m", "sepcli", "separate", str(recording), "--model", model]
    started = time.perf_counter()
    with subprocess.Popen(
        [*command, "-o", str(out), "--quiet", *options], stdout=subprocess.DEVNULL
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"sepcli failed on {recording}: exit code {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def main() -> None:
    """Measure each length and print a table."""
    own = sys.argv[1:]
    options = own[own.index("--") + 1 :] if "--" in own else []
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, nargs="+", default=[2, 10, 60])
    parser.add_argument("--sample-rate", type=int, default=48000, help="of the noise [Hz]")
    parser.add_argument("--repeat", type=Path, help="a recording to take instead of noise")
    parser.add_argument("--model", default="")
    parser.add_argument("--folder", type=Path, help="where the large files go", default=None)
    arguments = parser.parse_args(own[: own.index("--")] if "--" in own else own)
    piece, sample_rate = make_noise(arguments.sample_rate), arguments.sample_rate
    if arguments.repeat:
        piece, sample_rate = soundfile.read(arguments.repeat, dtype="float32", always_2d=True)
    print("| minutes | wall [s] | per minute [s] | peak memory [MB] | ratio |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        if not arguments.model:
            write_tiny_model(folder / "tiny")
        model = arguments.model or str(folder / "tiny")
        first = 0.0
        for minutes in arguments.minutes:
            recording = folder / "recording.wav"
            write_recording(recording, minutes, piece, sample_rate)
            seconds, peak = measure(recording, model, folder / "out", options)
            first = first or peak
            row = [f"{minutes:g}", f"{seconds:.1f}", f"{seconds / minutes:.2f}", f"{peak:.0f}"]
            print("| " + " | ".join([*row, f"{peak / first:.2f}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
