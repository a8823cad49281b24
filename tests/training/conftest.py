"""Small made-up voices on disk, and a recipe that trains a tiny network on them in a second."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.training.recipe import Recipe, read_recipe

RATE = 8000

RECIPE = """
[model]
architecture = "stftformer"
sample_rate = 8000
[model.config]
window = 32
stride = 16
dim = 8
heads = 1
hidden = 8
num_blocks = 1
[data]
train = "speech"
dev = "speech"
segment_seconds = 0.1
speeds = [0.9, 1.0]
dev_mixtures = 2
dev_seconds = [0.1, 0.2]
[optimiser]
warmup_steps = 2
rate = 0.01
accumulate = 2
averaging = 0.9
[run]
steps = 8
batch_size = 2
dev_every = 3
save_every = 2
"""


def voice(seed: int, seconds: float = 0.6, rate: int = RATE) -> np.ndarray:  # type: ignore[type-arg]
    """A made-up voice: three harmonics with a slow random loudness."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    pitch = 90 + 25 * seed
    tone = sum(np.sin(2 * np.pi * pitch * k * time + rng.uniform(0, 6)) / k for k in (1, 2, 3))
    loudness = np.interp(time, np.linspace(0, seconds, 8), rng.uniform(0.2, 1, 8))
    return np.asarray(0.2 * tone * loudness + 0.001 * rng.standard_normal(len(time)))


@pytest.fixture
def speech_folder(tmp_path: Path) -> Path:
    """Four speakers with two recordings each, in folders of two corpora."""
    folder = tmp_path / "speech"
    for number in range(4):
        speaker = folder / f"corpus{number % 2}" / f"speaker{number}"
        speaker.mkdir(parents=True)
        for take in range(2):
            signal = voice(number, 0.5 + 0.1 * take)
            soundfile.write(speaker / f"{take}.wav", signal, RATE)
    return folder


@pytest.fixture
def write_recipe(tmp_path: Path, speech_folder: Path) -> Callable[..., Recipe]:
    """Give a function that writes the recipe with lines replaced, and reads it."""

    def write(**changed: str) -> Recipe:
        text = RECIPE
        for key, value in changed.items():
            lines = [
                f"{key} = {value}" if line.startswith(f"{key} =") else line
                for line in text.splitlines()
            ]
            assert "\n".join(lines) != text, key
            text = "\n".join(lines)
        path = tmp_path / "recipe.toml"
        path.write_text(text)
        return read_recipe(path)

    return write
