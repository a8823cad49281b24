"""Voice embeddings: a small network of ours that tells whether two stretches are one person.

It listens below 4 kHz only, so that recordings at 8 kHz and at 16 kHz give the same embedding. Its
weights are in the package; `benchmarks/train_voices.py` made them and measures how well it tells
voices apart.

Time-delay layers as in https://doi.org/10.1109/ICASSP.2018.8461375 and attentive statistics pooling
as in https://arxiv.org/abs/1803.10963 (equations 3 to 6), much narrower than either.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

Array = np.ndarray[Any, np.dtype[np.float32]]
Embed = Callable[[Array, int], Array]

WEIGHTS_FILE = Path(__file__).parent / "builtin_voices" / "voices.safetensors"

NUM_MELS = 40
LOWEST_HZ, HIGHEST_HZ = 80.0, 3800.0  # 8 kHz recordings end at 4 kHz, resampled ones a bit below
WINDOW_SECONDS, HOP_SECONDS = 0.032, 0.01
FLOOR = 1e-4  # of the mean power: what is 40 dB below it is room, leakage or rounding, not voice
SMALLEST_POWER = 1e-20
STRIDE = 4  # frames in a step of the network; the first layer sees two steps
DILATIONS = (1, 1, 2)  # of the layers that see three steps each


@cache
def _mel_filters(sample_rate: int, num_bins: int) -> Tensor:
    """Return triangular filters that are equally wide on the mel scale, `[bins, mels]`."""
    edges_mel = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), NUM_MELS + 2)
    edges = 700.0 * (10.0 ** (edges_mel / 2595.0) - 1.0)
    hertz = np.linspace(0.0, sample_rate / 2.0, num_bins)[:, np.newaxis]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return torch.from_numpy(np.maximum(0.0, np.minimum(rising, falling))).float()


def _mel(hertz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))


def mel_power(samples: Array, sample_rate: int) -> Array:
    """Return the power in each mel band, `[frames, mels]`; the same for any rate above 8 kHz.

    Args:
        samples: Waveform `[samples]`; shorter ones than a window are filled up with zeros.
        sample_rate: Its rate [Hz].
    """
    window, hop = round(WINDOW_SECONDS * sample_rate), round(HOP_SECONDS * sample_rate)
    if len(samples) < window:
        samples = np.pad(samples, (0, window - len(samples)))
    filters = _mel_filters(sample_rate, window // 2 + 1)
    taper = torch.hann_window(window) / (window / 2)
    spectrum = torch.stft(
        torch.from_numpy(samples), window, hop, window=taper, center=False, return_complex=True
    )
    power = spectrum.real.square() + spectrum.imag.square()
    return np.asarray((power.T @ filters).numpy())


def log_mel(power: Array) -> Array:
    """Return what the network is given: log power without level and channel, `[frames, mels]`.

    Args:
        power: Mel power `[..., frames, mels]`; leading dimensions are independent pieces.
    """
    mean = power.mean(axis=(-2, -1), keepdims=True)
    logs = np.log(power + FLOOR * mean + np.float32(SMALLEST_POWER))
    return np.asarray(logs - logs.mean(axis=-2, keepdims=True), dtype=np.float32)


def embed_features(weights: Mapping[str, Tensor], features: Array) -> Array:
    """Return the embedding of a voice, `[dims]`, of length one.

    Args:
        weights: Of the network, by name; normalisation is folded into the linear layers.
        features: As `log_mel` gives them, `[frames, mels]`.
    """
    filled = F.pad(torch.from_numpy(features), (0, 0, STRIDE, -len(features) % STRIDE))
    steps = filled.reshape(-1, STRIDE * features.shape[1])
    hidden = F.relu(_linear(weights, "layers.0", torch.cat([steps[:-1], steps[1:]], dim=1)))
    for number, dilation in enumerate(DILATIONS, start=1):
        padded = F.pad(hidden, (0, 0, dilation, dilation))
        around = torch.cat([padded[: len(hidden)], hidden, padded[2 * dilation :]], dim=1)
        hidden = hidden + F.relu(_linear(weights, f"layers.{number}", around))
    scores = _linear(weights, "score", torch.tanh(_linear(weights, "attend", hidden)))
    share = scores.softmax(dim=0)
    mean = (share * hidden).sum(dim=0)
    variance = (share * hidden.square()).sum(dim=0) - mean.square()
    pooled = torch.cat([mean, variance.clamp_min(1e-6).sqrt()])
    embedding = _linear(weights, "embed", pooled[None])[0]
    return np.asarray(F.normalize(embedding, dim=0).numpy())


def _linear(weights: Mapping[str, Tensor], name: str, inputs: Tensor) -> Tensor:
    # oneDNN would be faster, but keeps a kernel for every length that it has seen: 40 MB in hours
    return torch.addmm(weights[f"{name}.bias"], inputs, weights[f"{name}.weight"])


@cache
def load_embed() -> Embed:
    """Return the function that embeds a waveform `[samples]` at a rate [Hz] as `[dims]`."""
    weights = {name: value.float() for name, value in load_file(WEIGHTS_FILE).items()}

    @torch.inference_mode()
    def embed(samples: Array, sample_rate: int) -> Array:
        return embed_features(weights, log_mel(mel_power(samples, sample_rate)))

    return embed
