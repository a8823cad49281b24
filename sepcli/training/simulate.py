"""Random mixtures of two or more speakers; each is a function of its random generator alone.

Sources have equal power before their levels are drawn; utterances of one speaker are joined until
they are long enough. In some mixtures speakers overlap only in part, or one speaks alone, or
nobody does for a while. Some get other long-term spectra, some compressors, some a room, whose
reverberant sources are then the references, some noise, some an effect.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve

from sepcli.errors import AudioError, UsageError
from sepcli.training.colour import draw_colours
from sepcli.training.dataset import Generator, Speech, Waveform, to_float
from sepcli.training.dynamics import draw_compressors
from sepcli.training.effects import apply_effect
from sepcli.training.recipe import DataRecipe

Weights = npt.NDArray[np.float64]

# Pauses between two joined utterances, as speakers make them.
LONGEST_PAUSE_SECONDS = 0.3
# Levels that recordings come with; networks should not rely on any.
LOUDEST_DB, QUIETEST_DB = -15.0, -30.0
# Later reflections of a measured room last seconds, but hold almost no energy.
ROOM_SECONDS = 0.6
BEFORE_DIRECT_SOUND = 8  # samples; keeps the onset of the direct sound
FADE_SECONDS = 0.01  # of a turn that begins or ends within an utterance
FLOOR = 1e-10
PLACE = re.compile(r"_[^_/\\]*$")  # of a response: what follows the name of the room


@dataclass(frozen=True)
class Surroundings:
    """What may be added to speech.

    Attributes:
        noises: Recordings `[samples]`.
        rooms: Impulse responses `[samples]` from two or more places of the same room each.
    """

    noises: tuple[Waveform, ...] = ()
    rooms: tuple[tuple[Waveform, ...], ...] = ()


def speaker_weights(speech: Speech, recipe: DataRecipe) -> Weights:
    """Return how likely each speaker is drawn `[speakers]`; they sum to 1, if any is above 0.

    A group of the recipe's `weights` shares its weight among its speakers; speakers outside all
    groups share the weight that their number has in the whole.
    """
    groups = [_group(name, recipe.weights) for name in speech.speakers]
    size = len(groups)
    share = [
        recipe.weights.get(group, groups.count(group) / size) / groups.count(group)
        for group in groups
    ]
    total = sum(share) or 1.0
    return np.array([value / total for value in share])


def check_speakers(
    speech: Speech, pools: Sequence[str], weights: Weights, num_speakers: int
) -> None:
    """Raise unless there are enough speakers who may be in one mixture.

    Args:
        speech: Whose speakers they are.
        pools: Of the recipe: two of one pool are never mixed.
        weights: How likely each speaker is, from `speaker_weights`.
        num_speakers: Number of different speakers in a mixture.

    Raises:
        AudioError: There are fewer.
    """
    named = zip(speech.speakers, weights, strict=True)
    people = {_group(name, pools) or name for name, weight in named if weight > 0}
    if len(people) < num_speakers:
        raise AudioError(
            f"usable speech of {len(people)} speakers, {num_speakers} are needed",
            "give more; those of one of data.pools count as one, those of weight 0 as none",
        )


def draw_mixture(
    speech: Speech,
    recipe: DataRecipe,
    rng: Generator,
    *,
    num_speakers: int,
    num_samples: int,
    weights: Weights,
    surroundings: Surroundings = Surroundings(),
) -> tuple[Waveform, Waveform]:
    """Return a mixture `[time]` and its references `[speakers, time]`.

    Args:
        speech: Where sources come from.
        recipe: Levels, shares of noise, rooms and the rest, pools.
        rng: The only source of randomness.
        num_speakers: Number of different speakers.
        num_samples: Length.
        weights: How likely each speaker is, from `speaker_weights`.
        surroundings: Noises and rooms to draw from.
    """
    voices = _draw_speakers(speech, recipe.pools, weights, num_speakers, rng)
    references = np.stack([_draw_source(speech, voice, num_samples, rng) for voice in voices])
    references = draw_colours(references, recipe, rng)
    references = draw_compressors(references, recipe, speech.sample_rate, rng)
    if surroundings.rooms and rng.random() < recipe.room_share:
        references = in_room(references, surroundings.rooms, rng)
    references = references / _rms(references)
    levels = rng.uniform(-recipe.level_db / 2, recipe.level_db / 2, num_speakers)
    if num_speakers == 2:  # the difference itself is uniform
        levels[1] = -levels[0]
    references = references * _gain(levels).astype(np.float32)[:, None]
    references = take_turns(references, recipe, speech.sample_rate, rng)
    references = pause(references, recipe, speech.sample_rate, rng)
    mixture = references.sum(0)
    if surroundings.noises and rng.random() < recipe.noise_share:
        noises = surroundings.noises
        noise = draw_stretch(noises[int(rng.integers(len(noises)))], num_samples, rng)
        below = _gain(-rng.uniform(*recipe.noise_db))
        mixture = mixture + noise / _rms(noise) * _rms(mixture) * below
    if rng.random() < recipe.effect_share:
        mixture, references = apply_effect(mixture, references, speech.sample_rate, rng)
    loudness = _gain(rng.uniform(QUIETEST_DB, LOUDEST_DB))
    return (mixture * loudness).astype(np.float32), (references * loudness).astype(np.float32)


def take_turns(
    references: Waveform, recipe: DataRecipe, sample_rate: int, rng: Generator
) -> Waveform:
    """Return references `[speakers, time]` of which some mixtures keep only parts.

    In some all but one are silent; in some each speaks in turn, neighbours overlapping.
    """
    kind = rng.random()
    count, num_samples = references.shape
    if kind < recipe.alone_share:
        alone: Waveform = references * (np.arange(count) == rng.integers(count))[:, None]
        return alone
    if kind >= recipe.alone_share + recipe.partial_share:
        return references
    overlap = rng.uniform(*recipe.partial_overlap)
    middles = np.sort(rng.uniform(overlap / 2, 1 - overlap / 2, count - 1))
    starts = np.concatenate(([-1.0], middles - overlap / 2))  # parts of the mixture's length
    stops = np.concatenate((middles + overlap / 2, [2.0]))
    fade = FADE_SECONDS * sample_rate
    samples = np.arange(num_samples)
    turns = zip(rng.permutation(count), starts * num_samples, stops * num_samples, strict=True)
    heard = np.empty_like(references)
    for voice, start, stop in turns:
        inside = np.minimum(samples - start, stop - samples) / fade
        heard[voice] = references[voice] * np.clip(inside, 0, 1)
    return heard


def pause(references: Waveform, recipe: DataRecipe, sample_rate: int, rng: Generator) -> Waveform:
    """Return references `[speakers, time]`, in some mixtures all silent for a while."""
    if recipe.pause_share == 0 or rng.random() >= recipe.pause_share:
        return references
    num_samples = references.shape[1]
    length = rng.uniform(*recipe.pause_seconds) * sample_rate
    start = rng.uniform(-length / 2, num_samples - length / 2)  # some at the ends
    samples = np.arange(num_samples)
    outside = np.maximum(start - samples, samples - start - length) / (FADE_SECONDS * sample_rate)
    heard: Waveform = references * np.clip(outside, 0, 1, dtype=np.float32)
    return heard


def in_room(dry: Waveform, rooms: Sequence[Sequence[Waveform]], rng: Generator) -> Waveform:
    """Return sources `[speakers, time]` as heard from different places of one of the rooms."""
    room = rooms[int(rng.integers(len(rooms)))]
    places = rng.permutation(max(len(room), len(dry)))[: len(dry)] % len(room)
    heard = [
        fftconvolve(row, room[place])[: len(row)] for row, place in zip(dry, places, strict=True)
    ]
    return np.stack(heard).astype(np.float32)


def draw_stretch(recording: Waveform, num_samples: int, rng: Generator) -> Waveform:
    """Return `[samples]` of a recording from a random place on; what is too short is repeated."""
    first = int(rng.integers(len(recording)))
    drawn: Waveform = recording[(first + np.arange(num_samples)) % len(recording)]
    return drawn


def group_rooms(
    responses: dict[str, Waveform], sample_rate: int
) -> tuple[tuple[Waveform, ...], ...]:
    """Return impulse responses grouped by room: names that differ in what follows the last `_`.

    Each starts at its direct sound, so that references stay aligned with the mixture.

    Args:
        responses: By file name.
        sample_rate: Theirs [Hz].

    Raises:
        UsageError: There are responses, and no room has two.
    """
    rooms: dict[str, list[Waveform]] = {}
    for name, response in responses.items():
        start = max(0, int(np.abs(response).argmax()) - BEFORE_DIRECT_SOUND)
        cut = response[start : start + int(ROOM_SECONDS * sample_rate)]
        rooms.setdefault(PLACE.sub("", name.rpartition(".")[0]), []).append(cut)
    found = tuple(tuple(room) for room in rooms.values() if len(room) > 1)
    if responses and not found:
        raise UsageError(
            f"no room with responses from two places: {min(responses)}, …",
            "name the responses of one room NAME_1.wav, NAME_2.wav, …",
        )
    return found


def _group(name: str, prefixes: Iterable[str]) -> str:
    """The first of the parts that a speaker's name has; empty where it has none."""
    return next((prefix for prefix in prefixes if prefix in name), "")


def _draw_speakers(
    speech: Speech, pools: Sequence[str], weights: Weights, count: int, rng: Generator
) -> list[int]:
    """Different speakers, at most one of each pool of unlabelled people."""
    while True:
        voices = rng.choice(len(weights), count, replace=False, p=weights)
        hidden = [_group(speech.speakers[voice], pools) for voice in voices]
        hidden = [group for group in hidden if group]
        if len(hidden) == len(set(hidden)):
            return [int(voice) for voice in voices]


def _draw_source(speech: Speech, voice: int, num_samples: int, rng: Generator) -> Waveform:
    """A stretch of one speaker at one speed: a random part of joined utterances."""
    recordings = speech.signals[int(rng.integers(len(speech.signals)))][voice]
    parts: list[Waveform] = []
    length = 0
    rounds = -(-num_samples // sum(map(len, recordings)))  # enough, one after the other
    for number in _drawing_order(speech.weights[voice], rounds, rng):
        recording = recordings[number]
        if parts:
            pause = int(rng.integers(int(LONGEST_PAUSE_SECONDS * speech.sample_rate) + 1))
            parts.append(np.zeros(pause, np.float32))
        if len(recording) > num_samples:
            start = int(rng.integers(len(recording) - num_samples + 1))
            recording = recording[start : start + num_samples]
        parts.append(to_float(recording))
        length += len(recording)
        if length >= num_samples:
            break
    joined = np.concatenate(parts)
    start = int(rng.integers(len(joined) - num_samples + 1))
    return joined[start : start + num_samples]


def _drawing_order(weights: Sequence[float], rounds: int, rng: Generator) -> Iterator[int]:
    """Recordings drawn by weight, each once a round."""
    for _ in range(rounds):
        # The first of competing exponential clocks rings with the chance of its rate.
        yield from np.argsort(rng.exponential(size=len(weights)) / np.asarray(weights)).tolist()


def _rms(signal: Waveform) -> Waveform:
    rms: Waveform = np.sqrt(np.square(signal).mean(-1, keepdims=True) + FLOOR)
    return rms


def _gain(level_db: float | Weights) -> Weights:
    gain: Weights = 10 ** (np.asarray(level_db) / 20)
    return gain
