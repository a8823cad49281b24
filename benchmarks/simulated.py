"""Conversations with known sources, and a separator that is right inside each chunk; all seeded.

Every recipe gives the same conversation on every machine. The simulated separator isolates the
ordering of speakers from the quality of networks: its estimates are the sources with leakage of
the others and noise, at random levels and in random order, anew in each chunk.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

STYLES = ("brisk", "slow", "absent")
FADE_SECONDS = 0.01
OVERLAP_SHARE = (0.2, 0.4)  # of the time somebody speaks, in which more than one does
LONGEST_PAUSE_SECONDS = 8.0


@dataclass(frozen=True)
class Recipe:
    """What makes a conversation.

    Attributes:
        seed: Of everything random.
        num_speakers: Who take part.
        style: `brisk`: pauses below a second; `slow`: pauses up to 8 s; `absent`: as slow, and
            one speaker is silent for the middle third.
        same_sex: All speakers are of one sex; otherwise both sexes occur.
        seconds: Length.
        sample_rate: Of the signals [Hz].
    """

    seed: int
    num_speakers: int
    style: str
    same_sex: bool
    seconds: float
    sample_rate: int = 8_000


@dataclass(frozen=True)
class Conversation:
    """A conversation and its truth.

    Attributes:
        sources: `[speakers, samples]`.
        active: Who speaks in each frame of 20 ms, `[speakers, frames]`.
        names: Of the speakers.
    """

    sources: np.ndarray
    active: np.ndarray
    names: tuple[str, ...]

    @property
    def mixture(self) -> np.ndarray:
        """What a microphone hears, `[samples]`."""
        return self.sources.sum(axis=0)


def recipes(count: int, num_speakers: int, sample_rate: int = 8_000) -> list[Recipe]:
    """Return recipes of 3 to 10 minutes that go through all styles, same and mixed sex."""
    lengths = np.random.default_rng(num_speakers).uniform(180.0, 600.0, count)
    return [
        Recipe(
            seed=1000 * num_speakers + number,
            num_speakers=num_speakers,
            style=STYLES[number % len(STYLES)],
            same_sex=number // len(STYLES) % 2 == 0,
            seconds=float(lengths[number]),
            sample_rate=sample_rate,
        )
        for number in range(count)
    ]


@cache
def read_speakers(speech: Path, split: str, sample_rate: int) -> dict[str, tuple[str, list]]:
    """Return sex and utterances of each labelled speaker of a split."""
    speakers: dict[str, tuple[str, list]] = {}
    with (speech / "manifest.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["split"] != split or row["speaker"] == "unlabelled":
                continue
            samples, rate = soundfile.read(speech / row["path"], dtype="float32")
            samples = soxr.resample(samples, rate, sample_rate)
            samples *= 0.05 / max(float(np.sqrt(np.mean(samples**2))), 1e-6)
            name = f"{row['corpus']}/{row['speaker']}"
            speakers.setdefault(name, (row["gender"], []))[1].append(samples)
    return speakers


def make_conversation(recipe: Recipe, speech: Path, split: str = "dev") -> Conversation:
    """Return the conversation of a recipe."""
    speakers = read_speakers(speech, split, recipe.sample_rate)
    for attempt in range(1000):
        rng = np.random.default_rng([recipe.seed, attempt])
        names = _cast(rng, recipe, speakers)
        turns = _turns(rng, recipe)
        conversation = _render(rng, recipe, names, turns, speakers)
        speaking = conversation.active.sum(axis=0)
        share = np.count_nonzero(speaking > 1) / max(np.count_nonzero(speaking), 1)
        if OVERLAP_SHARE[0] <= share <= OVERLAP_SHARE[1]:
            return conversation
    raise RuntimeError(f"no conversation with the right overlap: {recipe}")


def _cast(rng: np.random.Generator, recipe: Recipe, speakers: dict) -> tuple[str, ...]:
    """Return who takes part."""
    sex = {name: speakers[name][0] for name in speakers}
    first = str(rng.choice(sorted(speakers)))
    same = [n for n in sorted(speakers) if n != first and sex[n] == sex[first]]
    other = [n for n in sorted(speakers) if sex[n] != sex[first]]
    if recipe.same_sex:
        rest = rng.choice(same, recipe.num_speakers - 1, replace=False)
    else:
        rest = rng.choice([n for n in speakers if n != first], recipe.num_speakers - 1, False)
        rest[0] = rng.choice([n for n in other if n not in rest[1:]])
    return (first, *map(str, rest))


def _turns(rng: np.random.Generator, recipe: Recipe) -> list[tuple[int, float, float]]:
    """Return turns: who, from when, until when [s]."""
    interrupts = rng.uniform(0.5, 0.8)
    absent = int(rng.integers(recipe.num_speakers)) if recipe.style == "absent" else -1
    turns: list[tuple[int, float, float]] = []
    now, speaker = float(rng.uniform(0.0, 2.0)), int(rng.integers(recipe.num_speakers))
    while now < recipe.seconds:
        away = absent if recipe.seconds / 3 < now < 2 * recipe.seconds / 3 else -1
        choices = [k for k in range(recipe.num_speakers) if k not in (speaker, away)]
        if not choices or (rng.random() < 0.15 and speaker != away):
            choices = [speaker]
        follower = int(rng.choice(choices))
        length = float(rng.uniform(1.0, 8.0))
        start = now
        if turns and follower != speaker and rng.random() < interrupts:
            _, began, ended = turns[-1]
            start = ended - float(rng.uniform(0.2, 0.9)) * min(length, ended - began)
        mine = [stop for who, _, stop in turns if who == follower]
        start = max([start, *mine])
        turns.append((follower, start, start + length))
        now = max(now, start + length)
        if recipe.style == "brisk":
            now += float(rng.uniform(0.0, 0.8))
        else:
            now += float(min(rng.exponential(3.0), LONGEST_PAUSE_SECONDS))
        speaker = follower
    return turns


def _render(
    rng: np.random.Generator,
    recipe: Recipe,
    names: Sequence[str],
    turns: list[tuple[int, float, float]],
    speakers: dict,
) -> Conversation:
    """Return the conversation in which these speakers take these turns."""
    rate = recipe.sample_rate
    num_samples, frame = round(recipe.seconds * rate), rate // 50
    sources = np.zeros((recipe.num_speakers, num_samples), np.float32)
    gains = 10.0 ** (rng.uniform(-5.0, 0.0, recipe.num_speakers) / 20.0)
    fade = np.linspace(0.0, 1.0, round(FADE_SECONDS * rate), dtype=np.float32)
    for speaker, start, stop in turns:
        first, last = round(start * rate), min(round(stop * rate), num_samples)
        if last - first <= 2 * len(fade):
            continue
        speech = _speech(rng, speakers[names[speaker]][1], last - first) * gains[speaker]
        speech[: len(fade)] *= fade
        speech[-len(fade) :] *= fade[::-1]
        sources[speaker, first:last] = speech
    whole = num_samples // frame * frame
    power = np.square(sources[:, :whole].reshape(recipe.num_speakers, -1, frame)).mean(axis=2)
    usual = np.array([np.mean(row[row > 0]) if row.any() else 1.0 for row in power])
    return Conversation(sources, power > 1e-3 * usual[:, np.newaxis], tuple(names))


def _speech(rng: np.random.Generator, utterances: list, length: int) -> np.ndarray:
    """Return speech of one speaker, from a random place of random utterances."""
    parts, have = [], 0
    while have < length:
        utterance = utterances[rng.integers(len(utterances))]
        part = utterance[rng.integers(max(1, len(utterance) // 2)) :]
        parts.append(part)
        have += len(part)
    return np.concatenate(parts)[:length].copy()


def simulate_separator(
    rng: np.random.Generator, sources: np.ndarray, leakage_db: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return estimates `[speakers, samples]` of a chunk, and whose each one is, `[speakers]`.

    Args:
        rng: The chance.
        sources: Of the chunk, `[speakers, samples]`.
        leakage_db: Least and most level of the others in each estimate.
    """
    num_speakers = len(sources)
    leakage = 10.0 ** (rng.uniform(*leakage_db, (num_speakers, num_speakers)) / 20.0)
    np.fill_diagonal(leakage, 1.0)
    whose = rng.permutation(num_speakers)
    noise = 10.0 ** (rng.uniform(-70.0, -55.0) / 20.0)
    estimates = leakage[whose] @ sources + noise * rng.standard_normal(sources.shape)
    levels = 10.0 ** (rng.uniform(-6.0, 6.0, (num_speakers, 1)) / 20.0)
    return (levels * estimates).astype(np.float32), whose
