"""The built-in voice embedding: a small network of ours that tells whether two are one person.

It was trained with and without what lies above 4 kHz, since recordings at 8 kHz hold nothing
there, and to agree with a published network ten times its size. Its weights are in the package;
`benchmarks/train_voices.py` made them, and `benchmarks/measure_voices.py` measures how well they
tell voices apart. Inference is a handful of matrix products, so it needs numpy only.

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

NUM_MELS = 56
LOWEST_HZ, HIGHEST_HZ = 80.0, 7600.0
WINDOW_SECONDS, HOP_SECONDS = 0.032, 0.02
FLOOR = 1e-4  # of the mean power: what is 40 dB below it is room, leakage or rounding, not voice
SMALLEST_POWER = 1e-20
STRIDE = 2  # frames in a step of the network; the first layer sees two steps
DILATIONS = (1, 1, 2)  # of the layers that see three steps each
LEAST_SCORE = -60.0  # what is believed less counts as much; its exponential is still a number
BLOCK_FRAMES = 128  # transformed at once: they stay in the cache


def _edges() -> Array:
    """Return where bands begin, peak and end [Hz], `[mels + 2]`: each peaks where the last ends."""
    mels = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), NUM_MELS + 2)
    return np.asarray(700.0 * (10.0 ** (mels / 2595.0) - 1.0))


def centres() -> Array:
    """Return the frequencies at which bands peak [Hz], `[mels]`."""
    return _edges()[1:-1]


@cache
def _mel_filters(sample_rate: int, num_bins: int) -> Array:
    """Return triangular filters that are equally wide on the mel scale, `[bins, mels]`.

    Bins above the last in which anything is heard are left out.
    """
    edges = _edges()
    hertz = np.linspace(0.0, sample_rate / 2.0, num_bins)[:, np.newaxis]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    return filters[: np.flatnonzero(filters.any(axis=1))[-1] + 1]


@cache
def _taper(length: int) -> Array:
    """Return a Hann window, `[samples]`."""
    return (np.hanning(length + 1)[:-1] / (length / 2)).astype(np.float32)


def _mel(hertz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))


def mel_power(samples: Array, sample_rate: int) -> Array:
    """Return the power in each mel band, `[frames, mels]`; none in bands above half the rate.

    Args:
        samples: Waveform `[samples]`; shorter ones than a window are filled up with zeros.
        sample_rate: Its rate [Hz].
    """
    window, hop = round(WINDOW_SECONDS * sample_rate), round(HOP_SECONDS * sample_rate)
    if len(samples) < window:
        samples = np.pad(samples, (0, window - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    filters = _mel_filters(sample_rate, window // 2 + 1)
    powers = []
    for start in range(0, len(frames), BLOCK_FRAMES):
        spectrum = np.fft.rfft(frames[start : start + BLOCK_FRAMES] * _taper(window))
        spectrum = spectrum[:, : len(filters)]
        power = spectrum.real**2 + spectrum.imag**2
        powers.append(power.astype(np.float32, copy=False) @ filters)
    return np.concatenate(powers)


def log_mel(power: Array) -> Array:
    """Return what the network is given: log power without the level, `[..., frames, mels]`.

    Args:
        power: Mel power of a stretch, `[..., frames, mels]`; leading dimensions are independent.
    """
    mean = power.mean(axis=(-2, -1), keepdims=True) + np.float32(SMALLEST_POWER)
    return np.asarray(np.log(power / mean + np.float32(FLOOR)), dtype=np.float32)


def _layer(weights: Mapping[str, Array], number: int, steps: Array, seen: Sequence[int]) -> Array:
    """Return the rectified output of a layer that sees neighbouring steps, shaped like them.

    Args:
        weights: Of the network.
        number: Of the layer.
        steps: `[steps, width]`; what lies outside counts as zero.
        seen: What it sees, in the order of its weights: by how many steps earlier (later, if
            negative), and the step itself.
    """
    weight = weights[f"layers.{number}.weight"]
    columns = dict(zip(seen, np.split(weight, len(seen)), strict=True))
    total = steps @ columns.pop(0)
    for earlier, others in columns.items():
        part = steps @ others
        if earlier > 0:
            total[earlier:] += part[:-earlier]
        else:
            total[:earlier] += part[-earlier:]
    total += weights[f"layers.{number}.bias"]
    return np.asarray(np.maximum(total, np.float32(0.0), out=total))


def _linear(weights: Mapping[str, Array], name: str, inputs: Array) -> Array:
    return np.asarray(inputs @ weights[f"{name}.weight"] + weights[f"{name}.bias"])


def listen(weights: Mapping[str, Array], features: Array) -> tuple[Array, Array]:
    """Return what the network knows of each step, and how much of it is to be believed.

    Args:
        weights: Of the network, by name; normalisation is folded into the linear layers.
        features: As `log_mel` gives them, `[frames, mels]`.

    Returns:
        Both `[steps, width]`, the second from almost zero to one.
    """
    frames, mels = features.shape
    steps = np.zeros((-(-frames // STRIDE), STRIDE * mels), np.float32)
    steps.reshape(-1, mels)[:frames] = features
    hidden = _layer(weights, 0, steps, (1, 0))
    for number, dilation in enumerate(DILATIONS, start=1):
        hidden += _layer(weights, number, hidden, (dilation, 0, -dilation))
    scores = _linear(weights, "score", np.tanh(_linear(weights, "attend", hidden)))
    return hidden, np.exp(np.maximum(scores - scores.max(axis=0), np.float32(LEAST_SCORE)))


def pooled(
    weights: Mapping[str, Array], hidden: Array, belief: Array, starts: Sequence[int], count: int
) -> Array:
    """Return the embedding of each window of a stretch, `[windows, dims]`, of length one.

    Args:
        weights: Of the network.
        hidden: What it knows of the stretch, `[steps, width]`.
        belief: How much of that is to be believed, of the same shape.
        starts: First step of each window.
        count: Steps in a window.
    """
    parts = (belief, belief * hidden, belief * hidden**2)
    whole, first, second = (_sums(part, starts, count) for part in parts)
    mean = first / whole
    variance = second / whole - mean**2
    both = np.concatenate([mean, np.sqrt(np.maximum(variance, 1e-6))], axis=1)
    embeddings = _linear(weights, "embed", both)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / lengths, dtype=np.float32)


def _sums(values: Array, starts: Sequence[int], count: int) -> Array:
    """Return the sums of `count` rows from each start, `[rows, width]` → `[windows, width]`."""
    return np.stack([values[start : start + count].sum(axis=0) for start in starts])


class Embedding:
    """The embedding with its weights; windows that overlap share what they have in common."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights

    def __call__(self, samples: Array, sample_rate: int) -> Array:
        """Return the embedding `[dims]` of a waveform `[samples]` at a rate [Hz]."""
        hidden, belief = self._listen(samples, sample_rate)
        voice: Array = pooled(self._weights, hidden, belief, [0], len(hidden))[0]
        return voice

    def sliding(self, samples: Array, sample_rate: int, window: int, hop: int) -> Array:
        """Return the embedding of each window; see `evidence.Sliding`.

        A window begins with a whole step, up to 40 ms early.
        """
        taken, step = round(WINDOW_SECONDS * sample_rate), round(HOP_SECONDS * sample_rate)
        hidden, belief = self._listen(samples, sample_rate)
        frames = max(0, window - taken) // step + 1
        starts = [k // (step * STRIDE) for k in range(0, len(samples) - window + 1, hop)]
        return pooled(self._weights, hidden, belief, starts, -(-frames // STRIDE))

    def _listen(self, samples: Array, sample_rate: int) -> tuple[Array, Array]:
        return listen(self._weights, log_mel(mel_power(samples, sample_rate)))


@cache
def load_embed() -> Embed:
    """Return the function that embeds a waveform `[samples]` at a rate [Hz] as `[dims]`."""
    from safetensors.numpy import load_file

    weights = {name: value.astype(np.float32) for name, value in load_file(WEIGHTS_FILE).items()}
    return Embedding(weights)
