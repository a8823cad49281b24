"""The built-in voice embedding: a small network of ours that tells whether two are one person.

It listens below 4 kHz only, so that recordings at 8 kHz and at 16 kHz give the same embedding. Its
weights are in the package; `benchmarks/train_voices.py` made them and measures how well it tells
voices apart. Inference is a handful of matrix products, so it needs numpy only.

Time-delay layers as in https://doi.org/10.1109/ICASSP.2018.8461375 and attentive statistics pooling
as in https://arxiv.org/abs/1803.10963 (equations 3 to 6), much narrower than either.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sepcli.separation.speakers.evidence import Embed

Array = np.ndarray[Any, np.dtype[np.float32]]

WEIGHTS_FILE = Path(__file__).parents[3] / "models" / "data" / "voices" / "voices.safetensors"

NUM_MELS = 40
LOWEST_HZ, HIGHEST_HZ = 80.0, 3800.0  # 8 kHz recordings end at 4 kHz, resampled ones a bit below
WINDOW_SECONDS, HOP_SECONDS = 0.032, 0.01
FLOOR = 1e-4  # of the mean power: what is 40 dB below it is room, leakage or rounding, not voice
SMALLEST_POWER = 1e-20
STRIDE = 4  # frames in a step of the network; the first layer sees two steps
DILATIONS = (1, 1, 2)  # of the layers that see three steps each
BLOCK_FRAMES = 1024  # transformed at once: about 0.5 MB of spectrum


@cache
def _mel_filters(sample_rate: int, num_bins: int) -> Array:
    """Return triangular filters that are equally wide on the mel scale, `[bins, mels]`."""
    edges_mel = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), NUM_MELS + 2)
    edges = 700.0 * (10.0 ** (edges_mel / 2595.0) - 1.0)
    hertz = np.linspace(0.0, sample_rate / 2.0, num_bins)[:, np.newaxis]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


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
    taper = (np.hanning(window + 1)[:-1] / (window / 2)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    filters = _mel_filters(sample_rate, window // 2 + 1)
    used = np.flatnonzero(filters.any(axis=1))[-1] + 1  # above it nothing is heard
    powers = []
    for start in range(0, len(frames), BLOCK_FRAMES):
        spectrum = np.fft.rfft(frames[start : start + BLOCK_FRAMES] * taper)[:, :used]
        power = spectrum.real**2 + spectrum.imag**2
        powers.append(power.astype(np.float32, copy=False) @ filters[:used])
    return np.concatenate(powers)


def log_mel(power: Array) -> Array:
    """Return what the network is given: log power without level and channel, `[frames, mels]`.

    Args:
        power: Mel power `[..., frames, mels]`; leading dimensions are independent pieces.
    """
    mean = power.mean(axis=(-2, -1), keepdims=True)
    logs = np.log(power + FLOOR * mean + np.float32(SMALLEST_POWER))
    return np.asarray(logs - logs.mean(axis=-2, keepdims=True), dtype=np.float32)


def _layer(weights: Mapping[str, Array], number: int, pieces: Sequence[tuple[int, Array]]) -> Array:
    """Return the rectified output of a layer that sees neighbouring steps, `[steps, width]`.

    Args:
        weights: Of the network.
        number: Of the layer.
        pieces: What it sees, in the order of its weights: by how many steps earlier (later, if
            negative), and the steps, `[steps, width]`. What lies outside counts as zero.
    """
    weight, row = weights[f"layers.{number}.weight"], 0
    total = np.zeros((len(pieces[0][1]), weight.shape[1]), np.float32)
    for earlier, steps in pieces:
        part = steps @ weight[row : row + steps.shape[1]]
        row += steps.shape[1]
        if earlier > 0:
            total[earlier:] += part[:-earlier]
        else:
            total[: len(part) + earlier] += part[-earlier:]
    total += weights[f"layers.{number}.bias"]
    return np.maximum(total, np.float32(0.0), out=total)


def embed_features(weights: Mapping[str, Array], features: Array) -> Array:
    """Return the embedding of a voice, `[dims]`, of length one.

    Args:
        weights: Of the network, by name; normalisation is folded into the linear layers.
        features: As `log_mel` gives them, `[frames, mels]`.
    """
    num_steps = -(-len(features) // STRIDE)
    steps = np.zeros((num_steps, STRIDE * features.shape[1]), np.float32)
    steps.reshape(-1, features.shape[1])[: len(features)] = features
    hidden = _layer(weights, 0, [(1, steps), (0, steps)])
    for number, dilation in enumerate(DILATIONS, start=1):
        around = [(dilation, hidden), (0, hidden), (-dilation, hidden)]
        hidden = hidden + _layer(weights, number, around)
    scores = _linear(weights, "score", np.tanh(_linear(weights, "attend", hidden)))
    scores = np.exp(scores - scores.max(axis=0))
    share = scores / scores.sum(axis=0)
    mean = (share * hidden).sum(axis=0)
    variance = (share * hidden**2).sum(axis=0) - mean**2
    pooled = np.concatenate([mean, np.sqrt(np.maximum(variance, 1e-6))])
    embedding = _linear(weights, "embed", pooled)
    return np.asarray(embedding / np.linalg.norm(embedding), dtype=np.float32)


def _linear(weights: Mapping[str, Array], name: str, inputs: Array) -> Array:
    return np.asarray(inputs @ weights[f"{name}.weight"] + weights[f"{name}.bias"])


@cache
def load_embed() -> Embed:
    """Return the function that embeds a waveform `[samples]` at a rate [Hz] as `[dims]`."""
    from safetensors.numpy import load_file

    weights = {name: value.astype(np.float32) for name, value in load_file(WEIGHTS_FILE).items()}

    def embed(samples: Array, sample_rate: int) -> Array:
        return embed_features(weights, log_mel(mel_power(samples, sample_rate)))

    return embed
