"""Trains the built-in voice embedding of `separation/speakers`; `measure_voices.py` judges it.

    pip download --no-deps resemblyzer==0.1.4
    python benchmarks/train_voices.py --teacher Resemblyzer-0.1.4-py3-none-any.whl --seconds 4000

A small network learns from a large one (Hinton et al., "Distilling the knowledge in a neural
network", 2015, https://arxiv.org/abs/1503.02531): whatever it hears of a speaker is to come out
where the teacher has their clean speech, and nearer to it than to any other. The teacher's
embeddings are turned to their main directions first, since ours are shorter.

It will hear estimates, not clean speech. So half of the pieces are estimates of the built-in
separator, and the others get leakage of another voice and random gaps in the spectrum. All get
noise, a random channel, another level and the telephone's band, in the domain of mel power, where
signals that are independent add. Speakers at other speeds count as other speakers; recordings of
people without labels only have the place where the teacher has them.
"""

import argparse
import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from measure_voices import SAMPLE_RATE, estimates, levelled, read_speakers, read_speech
from safetensors.numpy import save_file
from teacher_voices import Teacher
from torch import nn
from torch.nn import functional as F

from sepcli import Separator
from sepcli.separation.speakers.embedding import builtin

SPEEDS = (0.80, 0.86, 0.93, 1.0, 1.08, 1.16, 1.25)
WIDTH, ATTENTION, DIMS = 192, 48, 128
MARGIN, SCALE = 0.2, 30.0  # of the additive-margin softmax, https://arxiv.org/abs/1801.05599
TEACHER_SCALE = 30.0  # of the distance to the teacher's embedding in the loss
BATCH = 160
SHARE_WITHOUT_LABELS = 0.12  # of a batch
FRAMES = (48, 160)  # shortest and longest training piece
LEAST_FRAMES = 50  # of a recording without labels
UTTERANCES_A_SPEAKER = 40  # enough; keeps the largest corpus in its place
TEACHER_SECONDS = 12.0  # of a speaker that the teacher hears
MIXTURES, MIXTURE_SECONDS, LEVEL_DB = 3000, 5.0, 5.0  # of two speakers, for estimates
SHARE_OF_ESTIMATES = 0.5
LEVELS = (-0.8, 0.5)  # of a piece to what is heard around it, as powers of ten
LEAST_MATCH = 0.77  # correlation of an estimate with its speaker: below, it holds too much else


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


def at_speed(samples: np.ndarray, speed: float) -> np.ndarray:
    """Return what is spoken so much faster, `[samples]`."""
    return np.asarray(soxr.resample(samples, SAMPLE_RATE * speed, SAMPLE_RATE), np.float32)


def mel_at(samples: np.ndarray, speed: float) -> np.ndarray:
    """Return the logarithm of mel power at another speed, half as wide, `[frames, mels]`."""
    power = builtin.mel_power(at_speed(samples, speed), SAMPLE_RATE)
    return np.log(power + 1e-12).astype(np.float16)


def separated(signals: Mapping[str, list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """Return estimates of the built-in separator by whose voice they hold.

    Args:
        signals: Utterances by speaker.
    """
    separator = Separator.from_pretrained()
    random, length = np.random.default_rng(1), round(MIXTURE_SECONDS * SAMPLE_RATE)
    names, found = sorted(signals), {name: [] for name in signals}
    for _ in range(MIXTURES):
        two = random.choice(len(names), 2, replace=False)
        voices = levelled(np.stack([stretch(random, signals[names[k]], length) for k in two]))
        gain_db = random.uniform(-LEVEL_DB, LEVEL_DB) / 2
        voices *= 10.0 ** (np.float32([[gain_db], [-gain_db]]) / 20.0)
        for k, estimate, voice in zip(two, estimates(separator, voices), voices, strict=True):
            if abs(np.corrcoef(estimate, voice)[0, 1]) > LEAST_MATCH:
                found[names[k]].append(levelled(estimate))
    return found


def stretch(
    random: np.random.Generator, utterances: Sequence[np.ndarray], length: int
) -> np.ndarray:
    """Return so many samples of a speaker, joined from random utterances."""
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < length:
        parts.append(utterances[random.integers(len(utterances))])
    joined = np.concatenate(parts)
    start = random.integers(len(joined) - length + 1)
    return joined[start : start + length]


@dataclass(frozen=True)
class Material:
    """What is trained on; names are `CORPUS/SPEAKER@SPEED`, or `FILE@SPEED` without a label.

    Attributes:
        speech: Mel power of utterances by name.
        estimates: Of estimates; not all names have some.
        noises: Of noises.
        teacher: What the teacher makes of each name, `[256]`.
        unlabelled: Names that are recordings; two of them may be one person.
    """

    speech: Mapping[str, np.ndarray]
    estimates: Mapping[str, np.ndarray]
    noises: Sequence[np.ndarray]
    teacher: Mapping[str, np.ndarray]
    unlabelled: tuple[str, ...]


def prepare(speech: Path, wheel: Path) -> dict[str, np.ndarray]:
    """Return all that is trained on, under the name of its kind and its own."""
    signals = {
        name: [read_speech(speech, row) for row in rows[:UTTERANCES_A_SPEAKER]]
        for name, rows in read_speakers(speech, "train").items()
    }
    ready: dict[str, np.ndarray] = {}
    for name, found in separated(signals).items():
        for speed in SPEEDS if found else ():
            heard = np.concatenate([mel_at(each, speed) for each in found])
            ready[f"estimates {name}@{speed}"] = heard
    teacher = Teacher(wheel)
    for kind, voices in (("speech", signals), ("nameless", unlabelled(speech))):
        for name, own in voices.items():
            heard = np.concatenate(own)[: round(TEACHER_SECONDS * SAMPLE_RATE)]
            for speed in SPEEDS:
                ready[f"{kind} {name}@{speed}"] = np.concatenate([mel_at(s, speed) for s in own])
                ready[f"teacher {name}@{speed}"] = teacher(at_speed(heard, speed))
    for path in sorted((speech / "robust" / "noise").rglob("*.*")):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        power = builtin.mel_power(samples[:, 0].copy(), rate)
        ready[f"noise {path.name}"] = np.log(power + 1e-12).astype(np.float16)
    return ready


def unlabelled(speech: Path) -> dict[str, list[np.ndarray]]:
    """Return the training recordings whose speakers have no names, by file."""
    with (speech / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    return {
        row["path"]: [read_speech(speech, row)] for row in rows if row["speaker"] == "unlabelled"
    }


def read_material(cache: Path) -> Material:
    """Return what `prepare` wrote."""
    kinds: dict[str, dict[str, np.ndarray]] = {}
    with np.load(cache) as stored:
        for key in stored.files:
            kind, _, name = key.partition(" ")
            kinds.setdefault(kind, {})[name] = stored[key]
    nameless = {
        name: power for name, power in kinds["nameless"].items() if len(power) >= LEAST_FRAMES
    }
    return Material(
        speech=kinds["speech"] | nameless,
        estimates=kinds["estimates"],
        noises=list(kinds["noise"].values()),
        teacher=kinds["teacher"],
        unlabelled=tuple(nameless),
    )


def directions(vectors: np.ndarray, num_labelled: int) -> np.ndarray:
    """Return `[names, 256]` turned to the main directions of the labelled ones, `[names, DIMS]`."""
    centred = vectors - vectors[:num_labelled].mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    _, _, axes = np.linalg.svd(centred[:num_labelled], full_matrices=False)
    turned = centred @ axes[:DIMS].T
    return np.asarray(turned / np.linalg.norm(turned, axis=1, keepdims=True), np.float32)


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
    rng: np.random.Generator,
    power: np.ndarray,
    other: np.ndarray,
    noise: np.ndarray,
    is_estimate: bool,
) -> np.ndarray:
    """Return a piece as a separator might give it, on a line that might be bad."""
    if not is_estimate and rng.random() < 0.7:
        power = add(rng, power, other, rng.uniform(6.0, 25.0))
    if rng.random() < 0.6:
        power = power * smooth(rng, 7, 4.0).astype(np.float32)
    kind = rng.random()
    if kind < 0.5:
        power = add(rng, power, noise, rng.uniform(5.0, 35.0))
    elif kind < 0.7:
        white = np.linspace(1.0, 6.0, builtin.NUM_MELS, dtype=np.float32)  # bands grow wider
        chance = rng.exponential(size=power.shape).astype(np.float32)
        power = add(rng, power, white / white.mean() * chance, rng.uniform(5.0, 35.0))
    if not is_estimate and rng.random() < 0.4:  # masks eat what is weak
        local = power.mean(0) * rng.uniform(0.001, 0.05)
        power = power * np.clip(power / local, 0.05, 1.0)
    if rng.random() < 0.2:
        power = power * np.where(builtin.centres() < rng.uniform(80.0, 400.0), 1e-3, 1.0)
    if rng.random() < 0.4:  # telephone, or a recording at 8 kHz
        lost = rng.choice([1e-3, 1e-7])
        power = power * np.where(builtin.centres() > rng.uniform(3300.0, 4100.0), lost, 1.0)
    if rng.random() < 0.3:  # some bands are gone
        first, width = rng.integers(0, builtin.NUM_MELS - 4), rng.integers(2, 8)
        power = power.copy()
        power[:, first : first + width] *= 1e-3
    return power.astype(np.float32)


def batch(
    rng: np.random.Generator, material: Material, names: Sequence[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features `[batch, frames, mels]` and their places in `names`, `[batch]`.

    Those without labels, the last of `names`, come last.
    """
    frames = int(rng.integers(*FRAMES)) // builtin.STRIDE * builtin.STRIDE
    num_labelled = len(names) - len(material.unlabelled)
    last = round(SHARE_WITHOUT_LABELS * BATCH) if material.unlabelled else 0
    places = np.concatenate(
        [rng.integers(0, num_labelled, BATCH - last), rng.integers(num_labelled, len(names), last)]
    )
    wanted = rng.random(BATCH) < SHARE_OF_ESTIMATES
    is_estimate = [
        w and names[k] in material.estimates for w, k in zip(wanted, places, strict=True)
    ]
    clean = [
        piece(rng, (material.estimates if own else material.speech)[names[k]], frames)
        for own, k in zip(is_estimate, places, strict=True)
    ]
    other = rng.permutation(BATCH)
    chosen = rng.integers(0, len(material.noises), BATCH)
    noise = [piece(rng, material.noises[k], frames) for k in chosen]
    spoilt = np.stack(
        [spoil(rng, clean[k], clean[other[k]], noise[k], is_estimate[k]) for k in range(BATCH)]
    )
    spoilt /= spoilt.mean(axis=(1, 2), keepdims=True)
    spoilt *= 10.0 ** rng.uniform(*LEVELS, (BATCH, 1, 1)).astype(np.float32)
    features = np.log(spoilt + np.float32(builtin.FLOOR))
    return torch.from_numpy(features), torch.from_numpy(places)


def train(material: Material, seconds: float) -> None:
    """Train for a while and write the weights into the package."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    labelled = sorted(set(material.speech) - set(material.unlabelled))
    names = [*labelled, *material.unlabelled]
    vectors = np.stack([material.teacher[name] for name in names])
    told = torch.from_numpy(directions(vectors, len(labelled)))
    kinds = {"speech": material.speech, "estimates": material.estimates}
    hours = {
        kind: round(builtin.HOP_SECONDS * sum(map(len, own.values())) / 3600, 1)
        for kind, own in kinds.items()
    }
    print(f"{len(labelled)} classes, {len(material.unlabelled)} without a label, hours: {hours}")
    network = VoiceNetwork()
    centres = nn.Parameter(told[: len(labelled)] * DIMS**0.5)
    print(sum(p.numel() for p in network.parameters()), "parameters")
    rate = 3e-3
    optimizer = torch.optim.AdamW([*network.parameters(), centres], lr=rate, weight_decay=0.05)
    began, step, shown = time.monotonic(), 0, np.zeros(3)
    while (done := (time.monotonic() - began) / seconds) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, step / 50) * (0.5 + 0.5 * np.cos(np.pi * done))
        features, places = batch(rng, material, names)
        with torch.autocast("cpu", torch.bfloat16):
            raw = network(features)
        embedding = F.normalize(raw.float())
        distance = 1.0 - (embedding * told[places]).sum(1).mean()
        labels = places[places < len(labelled)]
        cosine = embedding[: len(labels)] @ F.normalize(centres).T
        margin = MARGIN * min(1.0, 4.0 * done)
        logits = SCALE * (cosine - margin * F.one_hot(labels, len(labelled)))
        entropy = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        (entropy + TEACHER_SCALE * distance).backward()
        optimizer.step()
        step += 1
        right = (cosine.argmax(1) == labels).float().mean()
        shown += 0.02 * (np.array([entropy.item(), distance.item(), right.item()]) - shown)
        if step % 50 == 0:
            print(step, f"{100 * done:.0f} % entropy, distance, right:", shown.round(3), flush=True)
    network.eval()
    save_file(network.weights(), builtin.WEIGHTS_FILE)
    print(f"wrote {builtin.WEIGHTS_FILE.name}: {builtin.WEIGHTS_FILE.stat().st_size} bytes")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, default=Path("../shared/speech"))
    parser.add_argument("--teacher", type=Path, required=True, help="wheel of Resemblyzer")
    parser.add_argument("--seconds", type=float, default=4000.0, help="how long to train")
    parser.add_argument("--cache", type=Path, default=Path("runs/voices.npz"))
    arguments = parser.parse_args()
    arguments.cache.parent.mkdir(parents=True, exist_ok=True)
    if not arguments.cache.exists():
        np.savez(arguments.cache, **prepare(arguments.speech, arguments.teacher))
    train(read_material(arguments.cache), arguments.seconds)


if __name__ == "__main__":
    main()
