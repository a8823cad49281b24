"""Networks whose answers are known, and recordings they separate exactly."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import nn

from sepcli.models.entry import ModelEntry
from sepcli.networks import spgm

RATE = 8000
CUT_HZ = 1000.0
BAND_HZ, NUM_BANDS = 400.0, 8
TINY = spgm.Config(
    num_speakers=2, channels=8, kernel_size=16, segment=20, blocks=1, layers=1, heads=2, hidden=8
)


def entry(speakers: int = 2, **changes: object) -> ModelEntry:
    """Return an entry with short chunks, so that short recordings have many."""
    fields: dict[str, object] = {
        "name": "double",
        "architecture": "none",
        "format": "safetensors",
        "files": ("model.safetensors",),
        "speakers": speakers,
        "sample_rate": RATE,
        "chunk_seconds": 1.0,
        "overlap_seconds": 0.4,
    }
    return ModelEntry(**(fields | changes))  # type: ignore[arg-type]


class Identity(nn.Module):
    """Gives every speaker a share of the mixture; the shares sum to one."""

    def __init__(self, shares: tuple[float, ...] = (0.75, 0.25)) -> None:
        super().__init__()
        self.shares = torch.tensor(shares)

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        return mixture[:, None, :] * self.shares[None, :, None]


class BandSplit(nn.Module):
    """Separates below from above `CUT_HZ`, in an order and at levels that change at every call."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.random = np.random.default_rng(seed)
        self.num_calls = 0

    def generator(self, mixture: torch.Tensor) -> np.random.Generator:
        return self.random

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        self.num_calls += 1
        spectrum = torch.fft.rfft(mixture)
        frequency = torch.fft.rfftfreq(mixture.shape[-1], 1 / RATE)
        low = torch.fft.irfft(spectrum * (frequency < CUT_HZ), mixture.shape[-1])
        high = mixture - low
        rows = []
        for row in torch.stack([low, high], dim=1):
            random = self.generator(mixture)
            order = random.permutation(2)
            gains = random.uniform(0.2, 3.0, 2).astype(np.float32)
            rows.append(row[torch.from_numpy(order)] * torch.from_numpy(gains)[:, None])
        return torch.stack(rows)


class Broken(nn.Module):
    """Gives values that are not numbers."""

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        return torch.full((len(mixture), 2, mixture.shape[-1]), torch.nan)


def two_voices(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """Return references `[2, samples]`: noise below and above `CUT_HZ`, loud in turns as speech.

    As in speech there is nothing below 90 Hz.
    Each is silent to the ear every third of a second or so, though never for longer than a chunk.
    """
    random = np.random.default_rng(seed)
    num_samples = round(seconds * rate)
    spectrum = np.fft.rfft(random.standard_normal((2, num_samples)))
    frequency = np.fft.rfftfreq(num_samples, 1 / rate)
    spectrum[0, (frequency < 90) | (frequency >= 0.8 * CUT_HZ)] = 0
    spectrum[1, (frequency < 1.2 * CUT_HZ) | (frequency > 0.4 * RATE)] = 0
    waveforms = np.fft.irfft(spectrum, num_samples)
    time = np.arange(num_samples) / rate
    waveforms *= np.stack([np.sin(np.pi * 2.9 * time) ** 4, np.sin(np.pi * 3.7 * time + 1) ** 4])
    waveforms *= 0.08 / waveforms.std(axis=1, keepdims=True)
    return waveforms.astype(np.float32)


def conversation(people: str, seconds: float = 5.0) -> np.ndarray:
    """Return a mixture `[samples]` in which people take turns: `"0102"` names them in order.

    Each is noise in a band of their own, with pauses as between syllables. `hear_bands` tells them.
    """
    num_samples = round(seconds * RATE)
    frequency = np.fft.rfftfreq(num_samples, 1 / RATE)
    syllables = np.sin(np.pi * 3.1 * np.arange(num_samples) / RATE) ** 2
    turns = []
    for turn, person in enumerate(people):
        spectrum = np.fft.rfft(np.random.default_rng(turn).standard_normal(num_samples))
        spectrum[(frequency // BAND_HZ) != 1 + int(person)] = 0
        noise = np.fft.irfft(spectrum, num_samples)
        turns.append(0.1 * noise / noise.std() * syllables)
    return np.concatenate(turns).astype(np.float32)


def hear_bands(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the voice of `[samples]`: how loud each band of `conversation` is, of length one."""
    power = np.square(np.abs(np.fft.rfft(samples)))
    bands = np.fft.rfftfreq(len(samples), 1 / sample_rate) // BAND_HZ
    voice = np.bincount(np.minimum(bands, NUM_BANDS - 1).astype(int), power, minlength=NUM_BANDS)
    return np.float32(voice / max(np.linalg.norm(voice), 1e-20))


def write_model_folder(folder: Path) -> Path:
    """Make and return a model folder with a very small network whose weights are random."""
    folder.mkdir()
    torch.manual_seed(0)
    state = {key: value.contiguous() for key, value in spgm.Network(TINY).state_dict().items()}
    safetensors.torch.save_file(state, folder / "model.safetensors")
    config = "\n".join(
        f"{name} = {json.dumps(value)}"
        for name, value in dataclasses.asdict(TINY).items()
        if value is not None
    )
    (folder / "model.toml").write_text(
        'architecture = "spgm"\nformat = "safetensors"\nfiles = ["model.safetensors"]\n'
        "speakers = 2\nsample_rate = 8000\nchunk_seconds = 1.0\noverlap_seconds = 0.4\n"
        f"[config]\n{config}\n"
    )
    return folder
