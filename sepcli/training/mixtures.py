"""Mixtures with their references, made of single-speaker speech: LibriMix's way, or conversations.

Cosentino et al., "LibriMix", https://arxiv.org/abs/2005.11262, section 2: sources have a loudness
drawn from a range, start together, and are cut to the shorter or filled up to the longer one.
Conversations take turns, with pauses and with overlaps that add up to a given share.

Every mixture is a function of the speech, the options, the seed and its own number alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from sepcli.audio.loudness import gain_to
from sepcli.errors import AudioError, UsageError
from sepcli.separation.speakers.turns import Turn, turns_of
from sepcli.training.dataset import Generator, Waveform
from sepcli.training.simulate import draw_stretch, in_room

MAX_PEAK = 0.9  # louder mixtures are turned down as a whole, as in LibriMix
LOUDNESS_LUFS = -29.0  # middle of LibriMix's range
PAUSE_SECONDS = (0.05, 0.3)  # between joined utterances of one speaker
MEAN_TO_LONGEST_PAUSE = 5  # pauses between turns are drawn exponentially, then cut
MAX_OVERLAP_RATIO = 0.6
MAX_LEVEL_DB, MAX_SNR_DB = 60.0, 200.0
LONGEST_SECONDS = 86_400.0  # a day, which is held in memory
PART_OF_TURN = 0.95  # the most of a turn that another may cover: who speaks next is then clear
MAX_DRAWS = 200  # of recordings that turn out to be unusable, before a mixture is given up


@dataclass(frozen=True, kw_only=True)
class MixOptions:
    """How mixtures are made.

    Attributes:
        num_speakers: Sources of a mixture.
        sample_rate: Of everything [Hz].
        style: `"together"`: sources start at once; `"conversation"`: they take turns.
        length: `"min"` cuts sources to the shortest, `"max"` fills them up with silence.
        min_seconds: Utterances of one speaker are joined until a source is as long [s].
        max_seconds: Longest mixture; a conversation is as long [s].
        level_db: Width of the range that each source's loudness is drawn from [dB].
        overlap_ratio: Share of a conversation's speech in which two talk at once.
        pause_seconds: Longest pause between the turns of a conversation [s].
        snr_db: Range of the level of speech over noise [dB].
    """

    num_speakers: int = 2
    sample_rate: int = 8000
    style: Literal["together", "conversation"] = "together"
    length: Literal["min", "max"] = "min"
    min_seconds: float = 3.0
    max_seconds: float = 30.0
    level_db: float = 8.0
    overlap_ratio: float = 0.2
    pause_seconds: float = 1.5
    snr_db: tuple[float, float] = (5.0, 20.0)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, float) and not math.isfinite(number):
                    raise UsageError(
                        f"no such {name.replace('_', ' ')}: {number}", "give a finite number"
                    )
        if self.style == "conversation" and self.num_speakers < 2:
            count, hint = self.num_speakers, "give a larger --speakers, or another --style"
            raise UsageError(f"a conversation needs two speakers at least: {count}", hint)
        if not 0 <= self.level_db <= MAX_LEVEL_DB:
            hint = f"give 0 to {MAX_LEVEL_DB:g}"
            raise UsageError(f"no such range of loudness: {self.level_db:g} dB", hint)
        if not 0 <= self.overlap_ratio <= MAX_OVERLAP_RATIO:
            hint = f"give a share from 0 to {MAX_OVERLAP_RATIO}"
            raise UsageError(f"no such overlap ratio: {self.overlap_ratio:g}", hint)
        if self.max_seconds > LONGEST_SECONDS:
            hint = f"give at most {LONGEST_SECONDS:g}"
            raise UsageError(f"mixtures cannot be that long: {self.max_seconds:g} s", hint)
        if not 0 < self.min_seconds <= self.max_seconds:
            raise UsageError(
                f"shortest length beyond the longest: {self.min_seconds:g} s",
                f"give at most {self.max_seconds:g}",
            )
        if self.pause_seconds <= 0:
            raise UsageError(f"no such pause: {self.pause_seconds:g} s", "give seconds above 0")
        low, high = self.snr_db
        if not -MAX_SNR_DB <= low <= high <= MAX_SNR_DB:
            hint = "turn it round" if low > high else f"give {-MAX_SNR_DB:g} to {MAX_SNR_DB:g}"
            raise UsageError(f"no such range: {low:g} {high:g}", hint)


@dataclass(frozen=True)
class Material:
    """What mixtures are made of.

    Attributes:
        recordings: Speaker → names of recordings, for `load`.
        load: Returns the waveform `[samples]` of a recording, or None where it is unusable.
        noises: Name → noise `[samples]`.
        rooms: Impulse responses `[samples]`, two or more places of each room.
    """

    recordings: Mapping[str, Sequence[str]]
    load: Callable[[str], Waveform | None]
    noises: Mapping[str, Waveform] = field(default_factory=dict)
    rooms: Sequence[Sequence[Waveform]] = ()


@dataclass(frozen=True)
class Mixture:
    """One mixture and what it is the sum of.

    Attributes:
        references: `[speakers, samples]`.
        noise: `[samples]`, or None.
        speakers: Name of each source's speaker.
        recordings: Recordings that each source was made of.
        gains_db: Of each source over its recordings [dB].
        noise_name: Recording the noise comes from.
        overlap_ratio: Share of the time with speech in which two or more talk.
        turns: Who speaks when; pauses inside an utterance are part of its turn.
    """

    references: Waveform
    noise: Waveform | None
    speakers: tuple[str, ...]
    recordings: tuple[tuple[str, ...], ...]
    gains_db: tuple[float, ...]
    noise_name: str
    overlap_ratio: float
    turns: tuple[Turn, ...]

    @property
    def clean(self) -> Waveform:
        """Sum of the references, `[samples]`."""
        total: Waveform = self.references.sum(0)
        return total

    @property
    def noisy(self) -> Waveform:
        """Sum of the references and the noise, `[samples]`."""
        return self.clean if self.noise is None else self.clean + self.noise


def make_mixture(material: Material, options: MixOptions, seed: int, number: int) -> Mixture:
    """Return one mixture of a set.

    Args:
        material: Speech, noises, rooms.
        options: How mixtures are made.
        seed: Of the set.
        number: Which of its mixtures.

    Raises:
        AudioError: There are too few speakers, or no usable recording was found.
    """
    if len(material.recordings) < options.num_speakers:
        raise AudioError(
            f"too few speakers for mixtures of {options.num_speakers}: {len(material.recordings)}",
            "lay speech out as FOLDER/SPEAKER/*.wav",
        )
    rng = np.random.default_rng([seed, number])
    names = sorted(material.recordings)
    voices = [names[i] for i in rng.choice(len(names), options.num_speakers, replace=False)]
    draw = _conversation if options.style == "conversation" else _together
    dry, active, used = draw(material, voices, options, rng)
    references = in_room(dry, material.rooms, rng) if material.rooms else dry
    spread = rng.uniform(-options.level_db / 2, options.level_db / 2, len(voices))
    rate = options.sample_rate
    gains = np.array(
        [gain_to(row, rate, LOUDNESS_LUFS + db) for row, db in zip(references, spread, strict=True)]
    )
    references = references * gains[:, None].astype(np.float32)
    noise, noise_name = _draw_noise(material, references, options, rng)
    peak = float(np.abs(references.sum(0) + (0 if noise is None else noise)).max())
    scale = np.float32(min(1.0, MAX_PEAK / max(peak, float(np.abs(references).max()), 1e-9)))
    return Mixture(
        references * scale,
        None if noise is None else noise * scale,
        tuple(voices),
        used,
        tuple(20 * np.log10(gains * scale)),
        noise_name,
        _overlap_ratio(active),
        turns_of(active, rate),
    )


Drawn = tuple[Waveform, npt.NDArray[np.bool_], tuple[tuple[str, ...], ...]]


def _together(
    material: Material, voices: Sequence[str], options: MixOptions, rng: Generator
) -> Drawn:
    """Sources that start at once: waveforms, where each has speech, recordings used."""
    rate = options.sample_rate
    longest = round(options.max_seconds * rate)
    sources, used = [], []
    for voice in voices:
        parts: list[Waveform] = []
        names: list[str] = []
        while sum(map(len, parts)) < options.min_seconds * rate:
            if parts:
                parts.append(np.zeros(round(rng.uniform(*PAUSE_SECONDS) * rate), np.float32))
            name, waveform = _draw_recording(material, voice, rng)
            parts.append(waveform)
            names.append(name)
        sources.append(np.concatenate(parts)[:longest])
        used.append(tuple(names))
    pick = min if options.length == "min" else max
    num_samples = pick(map(len, sources))
    active = np.array([np.arange(num_samples) < len(source) for source in sources])
    filled = [np.pad(row[:num_samples], (0, max(0, num_samples - len(row)))) for row in sources]
    return np.stack(filled), active, tuple(used)


def _conversation(
    material: Material, voices: Sequence[str], options: MixOptions, rng: Generator
) -> Drawn:
    """Sources that take turns: waveforms, where each has speech, recordings used.

    With a share r of overlap over all speech, turns of total length L must overlap by
    L r / (1 + r) in total. What is still missing of that is made up for at every other turn or
    so; the other turns follow after a pause.
    """
    rate = options.sample_rate
    num_samples = round(options.max_seconds * rate)
    sources = np.zeros((len(voices), num_samples), np.float32)
    active = np.zeros(sources.shape, np.bool_)
    used: list[list[str]] = [[] for _ in voices]
    share = options.overlap_ratio / (1 + options.overlap_ratio)
    before, end, start, spoken, overlapped = 0, 0, 0, 0, 0
    upcoming = [int(place) for place in rng.permutation(len(voices))]
    while True:
        place = upcoming.pop(0)
        name, turn = _draw_recording(material, voices[place], rng)
        missing = round(share * (spoken + len(turn))) - overlapped
        # Two talk at once, never three: nobody begins before the turn before last is over.
        limit = min(round(PART_OF_TURN * min(len(turn), end - start)), end - max(before, start))
        overlap = 0
        if missing > 0 and limit > 0 and rng.random() < 0.5 + options.overlap_ratio:
            overlap = min(limit, round(missing * rng.uniform(0.7, 1.3)))
        drawn = 0 if overlap else rng.exponential(options.pause_seconds / MEAN_TO_LONGEST_PAUSE)
        pause = min(drawn, options.pause_seconds, options.max_seconds)  # no farther than the end
        begin = end - overlap + (round(pause * rate) if end else 0)
        if begin >= num_samples:
            break
        kept = turn[: num_samples - begin]
        sources[place, begin : begin + len(kept)] = kept
        active[place, begin : begin + len(kept)] = True
        used[place].append(name)
        spoken, overlapped = spoken + len(turn), overlapped + overlap
        before, start, end = end, begin, max(end, begin + len(turn))
        if not upcoming:
            others = [other for other in range(len(voices)) if other != place]
            upcoming = [int(rng.choice(others))]
    if not all(used):
        raise AudioError(
            f"turns too long for a conversation of {options.max_seconds:g} s",
            "give a larger --max-seconds or shorter recordings",
        )
    return sources, active, tuple(map(tuple, used))


def _draw_recording(material: Material, voice: str, rng: Generator) -> tuple[str, Waveform]:
    """Return one usable recording of a speaker and its name."""
    names = material.recordings[voice]
    for _ in range(MAX_DRAWS):
        name = names[int(rng.integers(len(names)))]
        waveform = material.load(name)
        if waveform is not None:
            return name, waveform
    raise AudioError(f"no usable recording of speaker: {voice}", "see the warnings above")


def _draw_noise(
    material: Material, references: Waveform, options: MixOptions, rng: Generator
) -> tuple[Waveform | None, str]:
    """Return noise as loud as drawn, from a random place of a recording on, and its name."""
    if not material.noises:
        return None, ""
    names = sorted(material.noises)
    name = names[int(rng.integers(len(names)))]
    noise = draw_stretch(material.noises[name], references.shape[1], rng)
    speech_power = float(np.square(references.sum(0)).mean())
    noise_power = max(float(np.square(noise).mean()), 1e-12)
    below = 10 ** (-rng.uniform(*options.snr_db) / 20)
    return (noise * np.float32(below * np.sqrt(speech_power / noise_power))), name


def _overlap_ratio(active: npt.NDArray[np.bool_]) -> float:
    """Return the share of the samples with speech at which two or more sources have some."""
    count = active.sum(0)
    return float((count > 1).sum() / max(1, (count > 0).sum()))
