"""The voice encoder of the package Resemblyzer, a teacher for `train_voices.py`.

A published network whose weights come with its wheel (`pip download --no-deps resemblyzer`,
Apache-2.0): three LSTM layers over 40 mel bands, trained on thousands of voices with the loss of
Wan et al., "Generalized end-to-end loss for speaker verification", 2018,
https://arxiv.org/abs/1710.10467. It is ten times the work of the built-in embedding, and hears
clean speech better than estimates.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

SAMPLE_RATE = 16_000
WINDOW, HOP, NUM_MELS = 400, 160, 40
FRAMES = 160  # of the pieces that it was trained on
LINEAR_HZ, FIRST_LOG_HZ, LOG_STEP = 200.0 / 3.0, 1000.0, np.log(6.4) / 27.0  # Slaney's mel scale
LEAST_RMS = 10.0 ** (-30.0 / 20.0)  # quieter speech is amplified


class Teacher(nn.Module):
    """Waveforms at 16 kHz to embeddings of length one, `[256]`."""

    def __init__(self, wheel: Path) -> None:
        super().__init__()
        self.lstm = nn.LSTM(NUM_MELS, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)
        with zipfile.ZipFile(wheel) as file:
            content = io.BytesIO(file.read("resemblyzer/pretrained.pt"))
        state = torch.load(content, map_location="cpu", weights_only=True)["model_state"]
        own = self.state_dict()
        self.load_state_dict({key: state[key] for key in own})
        self.register_buffer("filters", torch.from_numpy(_filters()), persistent=False)

    @torch.no_grad()
    def forward(self, samples: np.ndarray) -> np.ndarray:
        """Return the mean embedding of the pieces of a waveform `[samples]`."""
        rms = float(np.sqrt(np.square(samples).mean()))
        signal = torch.from_numpy(samples * max(1.0, LEAST_RMS / max(rms, 1e-9)))
        spectrum = torch.stft(
            signal, WINDOW, HOP, window=torch.hann_window(WINDOW), pad_mode="constant",
            return_complex=True,
        )  # fmt: skip
        mels = (self.filters @ spectrum.abs().square()).T
        if len(mels) > FRAMES:
            mels = mels.unfold(0, FRAMES, FRAMES).transpose(1, 2)
        else:
            mels = mels.unsqueeze(0)
        _, (hidden, _) = self.lstm(mels)
        voices: Tensor = torch.relu(self.linear(hidden[-1]))
        mean = (voices / voices.norm(dim=1, keepdim=True)).mean(0)
        return (mean / mean.norm()).numpy()


def _filters() -> np.ndarray:
    """Return triangles of equal area over the bins, `[mels, bins]`."""
    top = FIRST_LOG_HZ / LINEAR_HZ + np.log(SAMPLE_RATE / 2 / FIRST_LOG_HZ) / LOG_STEP
    mels = np.linspace(0.0, top, NUM_MELS + 2)
    bend = FIRST_LOG_HZ / LINEAR_HZ
    edges = np.where(
        mels < bend, LINEAR_HZ * mels, FIRST_LOG_HZ * np.exp(LOG_STEP * (mels - bend))
    )[:, np.newaxis]
    hertz = np.linspace(0.0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    area = (edges[2:] - edges[:-2]) / 2.0
    return (np.maximum(0.0, np.minimum(rising, falling)) / area).astype(np.float32)
