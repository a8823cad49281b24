"""Trains the built-in voice embedding of `separation/speakers`; measures its equal error rate.

    python benchmarks/train_voices.py train --speech ../shared/speech
    python benchmarks/train_voices.py measure --speech ../shared/speech

It will hear estimates, not clean speech. So every training piece gets leakage of another voice,
noise, a random channel and random gaps in the spectrum, all in the domain of mel power, where
signals that are independent add. Speakers at other speeds count as other speakers.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F

from sepcli.separation.speakers.embedding import builtin, load_embed

SPEEDS = (0.9, 1.0, 1.1)
WIDTH, ATTENTION, DIMS = 176, 48, 128
MARGIN, SCALE = 0.2, 30.0  # of the additive-margin softmax, https://arxiv.org/abs/1801.05599
BATCH = 160
FRAMES = (96, 320)  # shortest and longest training piece
UTTERANCES_A_SPEAKER = 40  # enough; keeps the largest corpus in its place


class VoiceNetwork(nn.Module):
    """`[batch, frames, mels] → [batch, dims]`, not normalised; see `embedding.builtin`."""

    def __init__(self) -> None:
        super().__init__()
        widths = [2 * builtin.STRIDE * builtin.NUM_MELS] + [3 * WIDTH] * len(builtin.DILATIONS)
        self.layers = nn.ModuleList(nn.Linear(width, WIDTH) for width in widths)
        self.norms = nn.ModuleList(nn.BatchNorm1d(WIDTH) for _ in widths)
        self.attend = nn.Linear(WIDTH, ATTENTION)
        self.score = nn.Linear(ATTENTION, WIDTH)
        self.norm = nn.BatchNorm1d(2 * WIDTH)
        self.embed = nn.Linear(2 * WIDTH, DIMS)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return embeddings, `[batch, frames, mels] → [batch, dims]`."""
        half = builtin.STRIDE
        padded = F.pad(features, (0, 0, half, half - 1))
        steps = padded.unfold(1, 2 * builtin.STRIDE, builtin.STRIDE).transpose(2, 3).flatten(2)
        hidden = self._layer(0, steps)
        for number, dilation in enumerate(builtin.DILATIONS, start=1):
            length = hidden.shape[1]
            padded = F.pad(hidden, (0, 0, dilation, dilation))
            views = [padded[:, k * dilation : k * dilation + length] for k in range(3)]
            hidden = hidden + self._layer(number, torch.cat(views, 2))
        share = self.score(torch.tanh(self.attend(hidden))).float().softmax(1)
        hidden = hidden.float()
        mean = (share * hidden).sum(1)
        variance = (share * hidden**2).sum(1) - mean**2
        pooled = torch.cat([mean, variance.clamp_min(1e-6).sqrt()], 1)
        return self.embed(self.norm(pooled))

    def _layer(self, number: int, inputs: torch.Tensor) -> torch.Tensor:
        outputs = self.layers[number](inputs)
        return F.relu(self.norms[number](outputs.flatten(0, 1)).view(outputs.shape))

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights as `embedding.builtin` wants them: norms folded in, inputs first."""
        folded = {}
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            gain = norm.weight / (norm.running_var + norm.eps).sqrt()
            folded[f"layers.{number}.weight"] = (layer.weight * gain[:, None]).T
            folded[f"layers.{number}.bias"] = (layer.bias - norm.running_mean) * gain + norm.bias
        for name in ("attend", "score"):
            folded[f"{name}.weight"] = getattr(self, name).weight.T
            folded[f"{name}.bias"] = getattr(self, name).bias
        gain = self.norm.weight / (self.norm.running_var + self.norm.eps).sqrt()
        shift = self.norm.bias - self.norm.running_mean * gain
        folded["embed.weight"] = (self.embed.weight * gain).T
        folded["embed.bias"] = self.embed.bias + self.embed.weight @ shift
        return {k: v.detach().contiguous().numpy().astype(np.float16) for k, v in folded.items()}


def read_speakers(speech: Path, split: str) -> dict[str, list[dict[str, str]]]:
    """Return the labelled utterances of a split by speaker."""
    with (speech / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    speakers: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if row["speaker"] != "unlabelled":
            speakers.setdefault(f"{row['corpus']}/{row['speaker']}", []).append(row)
    return speakers


def read_speech(speech: Path, row: dict[str, str]) -> np.ndarray:
    """Return an utterance at 16 kHz, `[samples]`."""
    samples, rate = soundfile.read(speech / row["path"], dtype="float32")
    assert rate == 16_000
    return samples


def prepare(speech: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the mel power of each class (speaker at a speed) and of noises, `[frames, mels]`."""
    classes = []
    for rows in read_speakers(speech, "train").values():
        signals = [read_speech(speech, row) for row in rows[:UTTERANCES_A_SPEAKER]]
        for speed in SPEEDS:
            spoken = [soxr.resample(s, 16_000 * speed, 8_000) for s in signals]
            powers = [builtin.mel_power(s, 8_000) for s in spoken]
            classes.append(np.log(np.concatenate(powers) + 1e-12).astype(np.float16))
    noises = []
    for path in sorted((speech / "robust" / "noise").rglob("*.*")):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        power = builtin.mel_power(samples[:, 0].copy(), rate)
        noises.append(np.log(power + 1e-12).astype(np.float16))
    return classes, noises


def piece(rng: np.random.Generator, power: np.ndarray, frames: int) -> np.ndarray:
    """Return `frames` frames of mean power one, joined from up to three places."""
    cuts = np.sort(rng.integers(0, frames + 1, rng.integers(0, 3)))
    parts = []
    for length in np.diff([0, *cuts, frames]):
        start = rng.integers(0, max(1, len(power) - length + 1))
        parts.append(np.take(power, range(start, start + length), axis=0, mode="wrap"))
    joined = np.exp(np.concatenate(parts).astype(np.float32))
    return joined / joined.mean()


def add(rng: np.random.Generator, one: np.ndarray, other: np.ndarray, db: float) -> np.ndarray:
    """Return the power of two signals added, one `db` above the other, at random phase."""
    other = other * 10.0 ** (-db / 10.0)
    phase = rng.uniform(-1.0, 1.0, one.shape).astype(np.float32)
    return np.maximum(one + other + phase * np.sqrt(one * other), 0.0)


def smooth(rng: np.random.Generator, knots: int, decibels: float) -> np.ndarray:
    """Return a random smooth gain over the bands in power, `[mels]`."""
    places = np.linspace(0, knots - 1, builtin.NUM_MELS)
    return 10.0 ** (np.interp(places, np.arange(knots), rng.normal(0, decibels, knots)) / 10.0)


def spoil(
    rng: np.random.Generator, power: np.ndarray, other: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Return a piece as a separator might give it."""
    if rng.random() < 0.8:
        power = add(rng, power, other, rng.uniform(8.0, 25.0))
    if rng.random() < 0.6:
        power = power * smooth(rng, 6, 4.0).astype(np.float32)
    if rng.random() < 0.6:
        power = add(rng, power, noise, rng.uniform(5.0, 35.0))
    elif rng.random() < 0.5:
        white = np.linspace(1.0, 5.0, builtin.NUM_MELS, dtype=np.float32)  # bands grow wider
        chance = rng.exponential(size=power.shape).astype(np.float32)
        power = add(rng, power, white / white.mean() * chance, rng.uniform(5.0, 35.0))
    if rng.random() < 0.4:  # masks eat what is weak
        local = power.mean(0) * rng.uniform(0.001, 0.05)
        power = power * np.clip(power / local, 0.05, 1.0)
    if rng.random() < 0.2:  # telephone
        power = power * np.where(np.arange(builtin.NUM_MELS) < rng.integers(1, 7), 1e-3, 1.0)
        power = power * np.where(np.arange(builtin.NUM_MELS) > rng.integers(34, 40), 1e-3, 1.0)
    return power.astype(np.float32)


def batch(
    rng: np.random.Generator, classes: list[np.ndarray], noises: list[np.ndarray]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features `[batch, frames, mels]` and classes `[batch]`."""
    frames = int(rng.integers(*FRAMES)) // 4 * 4
    labels = rng.integers(0, len(classes), BATCH)
    clean = [piece(rng, classes[label], frames) for label in labels]
    other = rng.permutation(BATCH)
    noise = [piece(rng, noises[k], frames) for k in rng.integers(0, len(noises), BATCH)]
    spoilt = [spoil(rng, clean[k], clean[other[k]], noise[k]) for k in range(BATCH)]
    return torch.from_numpy(builtin.log_mel(np.stack(spoilt))), torch.from_numpy(labels)


def train(speech: Path, seconds: float, cache: Path) -> None:
    """Train for a while and write the weights into the package."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    if not cache.exists():
        classes, noises = prepare(speech)
        np.savez(cache, *classes, *noises, num_classes=len(classes))
    stored = np.load(cache)
    arrays = [stored[f"arr_{k}"] for k in range(len(stored.files) - 1)]
    classes, noises = arrays[: stored["num_classes"]], arrays[stored["num_classes"] :]
    print(len(classes), "classes", sum(map(len, classes)) / 360_000, "hours")
    network = VoiceNetwork()
    centres = nn.Parameter(torch.randn(len(classes), DIMS))
    print(sum(p.numel() for p in network.parameters()), "parameters")
    rate = 3e-3
    optimizer = torch.optim.AdamW([*network.parameters(), centres], lr=rate, weight_decay=0.02)
    began, step, shown, right = time.monotonic(), 0, 0.0, 0.0
    while (done := (time.monotonic() - began) / seconds) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, step / 50) * (0.5 + 0.5 * np.cos(np.pi * done))
        features, labels = batch(rng, classes, noises)
        with torch.autocast("cpu", torch.bfloat16):
            embedding = network(features)
        cosine = F.normalize(embedding.float()) @ F.normalize(centres).T
        margin = MARGIN * min(1.0, 4.0 * done)
        logits = SCALE * (cosine - margin * F.one_hot(labels, len(classes)))
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        shown += 0.02 * (loss.item() - shown)
        right += 0.02 * ((cosine.argmax(1) == labels).float().mean().item() - right)
        if step % 50 == 0:
            print(f"{step} {100 * done:.0f} % loss {shown:.3f} right {right:.3f}", flush=True)
        if step % 400 == 0:
            save(network)
    save(network)


def save(network: VoiceNetwork) -> None:
    """Write the weights into the package."""
    builtin.WEIGHTS_FILE.parent.mkdir(exist_ok=True)
    save_file(network.weights(), builtin.WEIGHTS_FILE)
    print(f"wrote {builtin.WEIGHTS_FILE.name}: {builtin.WEIGHTS_FILE.stat().st_size} bytes")


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """Return the share of errors at the threshold where both kinds of error are equal."""
    thresholds = np.sort(np.concatenate([same, different]))
    missed = np.searchsorted(np.sort(same), thresholds) / len(same)
    taken = 1.0 - np.searchsorted(np.sort(different), thresholds) / len(different)
    return float(((missed + taken) / 2)[np.argmin(np.abs(missed - taken))])


def measure(speech: Path, voices: str) -> None:
    """Print a table of equal error rates of voices, by their name, on development speakers."""
    speakers = read_speakers(speech, "dev")
    signals = {
        name: np.concatenate([read_speech(speech, row) for row in rows])
        for name, rows in speakers.items()
    }
    embed = load_embed(voices)
    print("| piece | leakage | rate | all pairs | same sex |\n|---|---|---|---|---|")
    for seconds in (2.0, 3.0, 4.0):
        for leakage_db, sample_rate in (
            (None, 16_000),
            (-15.0, 16_000),
            (-10.0, 16_000),
            (-10.0, 8_000),
        ):
            rng = np.random.default_rng(0)
            names, vectors = [], []
            for name, signal in signals.items():
                length = int(seconds * 16_000)
                for start in range(0, min(len(signal) - length, 12 * length), length):
                    heard = signal[start : start + length]
                    other = signals[str(rng.choice([n for n in signals if n != name]))]
                    place = rng.integers(max(1, len(other) - length))
                    if leakage_db is not None:
                        leak = np.resize(other[place : place + length], length)
                        gain = np.sqrt(np.mean(heard**2) / np.mean(leak**2))
                        heard = heard + 10.0 ** (leakage_db / 20.0) * gain * leak
                    heard = soxr.resample(heard, 16_000, sample_rate)
                    names.append(name)
                    vectors.append(embed(heard.astype(np.float32), sample_rate))
            sexes = np.array([speakers[name][0]["gender"] for name in names])
            cosine = np.stack(vectors) @ np.stack(vectors).T
            pair = np.triu(np.ones_like(cosine, bool), 1)
            same = np.equal.outer(np.array(names), np.array(names))
            alike = np.equal.outer(sexes, sexes)
            rates = [
                equal_error_rate(cosine[pair & same], cosine[pair & ~same & among])
                for among in (np.ones_like(same), alike)
            ]
            leak_text = "none" if leakage_db is None else f"{leakage_db:g} dB"
            print(
                f"| {seconds:g} s | {leak_text} | {sample_rate // 1000} kHz "
                f"| {100 * rates[0]:.1f} % | {100 * rates[1]:.1f} % |"
            )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["train", "measure"])
    parser.add_argument("--speech", type=Path, default=Path("../shared/speech"))
    parser.add_argument("--voices", default="builtin", help="to measure: builtin or ecapa")
    parser.add_argument("--seconds", type=float, default=1200.0, help="how long to train")
    parser.add_argument("--cache", type=Path, default=Path("runs/embedding.npz"))
    arguments = parser.parse_args()
    if arguments.command == "measure":
        measure(arguments.speech, arguments.voices)
    else:
        arguments.cache.parent.mkdir(parents=True, exist_ok=True)
        train(arguments.speech, arguments.seconds, arguments.cache)


if __name__ == "__main__":
    main()
