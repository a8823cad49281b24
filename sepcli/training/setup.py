"""A recipe made ready to run: speech decoded, development mixtures drawn, network built."""

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sepcli.errors import ModelError, UsageError
from sepcli.models.architectures import make_config
from sepcli.models.build import fresh_network
from sepcli.models.load import load_model
from sepcli.models.resolve import resolve_model
from sepcli.training.dataset import Generator, Speech, Waveform, find_speech, read_recordings
from sepcli.training.decoded import read_decoded
from sepcli.training.loader import Batch, make_batch
from sepcli.training.recipe import Recipe
from sepcli.training.simulate import (
    Surroundings,
    check_speakers,
    draw_mixture,
    group_rooms,
    speaker_weights,
)

Note = Callable[[str], None]


@dataclass(frozen=True)
class Material:
    """All that mixtures are made of.

    Attributes:
        train: Speech to train on.
        dev: Speech of other speakers; None to measure nothing.
        surroundings: Noises and rooms.
    """

    train: Speech
    dev: Speech | None
    surroundings: Surroundings


def read_material(
    recipe: Recipe, num_speakers: int, folder: Path, *, note: Note, warn: Note
) -> Material:
    """Return the recipe's speech, noises and rooms, decoded at the network's rate.

    Args:
        recipe: Where they are, relative to its file.
        num_speakers: How many different speakers a mixture needs.
        folder: Where decoded speech is kept for the next start.
        note: Told what was read.
        warn: Told what was skipped.

    Raises:
        AudioError: there is nothing usable.
    """
    data, rate = recipe.data, recipe.model.sample_rate

    def read(place: str, kind: str, speeds: tuple[float, ...]) -> Speech:
        found = find_speech(recipe.path.parent / place, split=kind, needs_splits=False)
        speech = read_decoded(found, rate, folder, kind, speeds=speeds, min_speakers=num_speakers)
        note(f"{kind}: {len(speech.speakers)} speakers, {speech.seconds / 3600:.2f} h at {rate} Hz")
        if speech.single_recordings:
            note(f"{kind}: {speech.single_recordings} speakers have one recording only")
        for line in speech.skipped.lines():
            warn(f"{kind}: {line}")
        return speech

    return Material(
        train=read(data.train, "train", data.speeds),
        dev=read(data.dev, "dev", (1.0,)) if data.dev else None,
        surroundings=_read_surroundings(recipe, warn),
    )


def batch_maker(
    recipe: Recipe, material: Material, num_speakers: int, rank: int
) -> Callable[[int], Batch]:
    """Return the function from the number of a batch to the batch, for one process.

    Raises:
        AudioError: There are too few speakers who may be in one mixture.
    """
    weights = speaker_weights(material.train, recipe.data)
    check_speakers(material.train, recipe.data.pools, weights, num_speakers)
    num_samples = round(recipe.data.segment_seconds * recipe.model.sample_rate)

    def draw(rng: Generator) -> tuple[Waveform, Waveform]:
        return draw_mixture(
            material.train,
            recipe.data,
            rng,
            num_speakers=num_speakers,
            num_samples=num_samples,
            weights=weights,
            surroundings=material.surroundings,
        )

    return lambda number: make_batch(draw, recipe.run.batch_size, (recipe.run.seed, rank, number))


def dev_mixtures(recipe: Recipe, material: Material, num_speakers: int) -> list[Batch]:
    """Return the development mixtures `[time]` and references `[speakers, time]`.

    They are clean and fully overlapped, whatever is trained on. Speakers are equally likely; the
    mixtures are the same in every run of the recipe.

    Raises:
        AudioError: There are too few speakers who may be in one mixture.
    """
    if material.dev is None:
        return []
    data, rate = recipe.data, recipe.model.sample_rate
    shares = [each.name for each in dataclasses.fields(data) if each.name.endswith("_share")]
    nothing: dict[str, Any] = dict.fromkeys(shares, 0.0)
    plain = dataclasses.replace(data, **nothing)
    count = len(material.dev.speakers)
    weights = np.full(count, 1 / count)
    check_speakers(material.dev, data.pools, weights, num_speakers)
    drawn = []
    for number in range(data.dev_mixtures):
        rng = np.random.default_rng((data.dev_seed, number))
        mixture, references = draw_mixture(
            material.dev,
            plain,
            rng,
            num_speakers=num_speakers,
            num_samples=round(rng.uniform(*data.dev_seconds) * rate),
            weights=weights,
        )
        drawn.append((torch.from_numpy(mixture), torch.from_numpy(references)))
    return drawn


def make_network(recipe: Recipe, source: str = "", note: Note = lambda line: None) -> nn.Module:
    """Return the network to train: fresh from the recipe's seed, or with an entry's weights.

    Args:
        recipe: Its architecture and configuration.
        source: Entry, folder or hf:ORG/REPO whose weights to go on from; empty for none.
        note: Told where the entry's fallback stands in for it.

    Raises:
        ModelError: the configuration is wrong, or the entry's network is another one.
        WeightsError: the entry's weights cannot be had.
    """
    model, where = recipe.model, f"[model] of {recipe.path.name}"
    if not source:
        network = fresh_network(model.architecture, model.config, recipe.run.seed, where=where)
        return _freeze_unused(network, model.sample_rate)
    entry = resolve_model(source)
    if entry.architecture != model.architecture:
        raise ModelError(
            f"{source} is another architecture than the recipe's: {entry.architecture}",
            f"set architecture = `{entry.architecture}` in {recipe.path.name}",
        )
    if entry.sample_rate != model.sample_rate:
        raise ModelError(
            f"{source} has another sample rate than the recipe: {entry.sample_rate}",
            f"set sample_rate = {entry.sample_rate} in {recipe.path.name}",
        )
    loaded = load_model(entry)
    if loaded.note:
        note(loaded.note)
    network = loaded.network
    if model.config:
        wanted = make_config(model.architecture, model.config, where=where)
        if wanted != network.config:
            raise ModelError(
                f"{source} has another configuration than the recipe",
                f"leave [model.config] out of {recipe.path.name} to take over that of {source}",
            )
    return _freeze_unused(network, model.sample_rate)


def _freeze_unused(network: nn.Module, sample_rate: int) -> nn.Module:
    """Return the network, with only those parameters trainable that its estimates depend on.

    Some published networks keep parameters that they never use, and training in several processes
    waits for the gradients of all.
    """
    # A copy, since it may remember what it hears; as in training, since it may count speakers.
    probe = copy.deepcopy(network).train()
    probe(torch.ones(1, sample_rate)).sum().backward()
    for parameter, used in zip(network.parameters(), probe.parameters(), strict=True):
        parameter.requires_grad_(used.grad is not None)
    return network


def with_places(recipe: Recipe, **places: Path | None) -> Recipe:
    """Return the recipe with other places than its own where they are given.

    Args:
        recipe: Whose places are relative to its file.
        places: `train`, `dev`, `noise` and `rooms`; None to keep the recipe's.

    Raises:
        UsageError: there is no speech to train on, or one of the places is not there.
    """
    given: dict[str, Any] = {
        kind: str(place.absolute()) for kind, place in places.items() if place is not None
    }
    changed = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, **given))
    data, folder = changed.data, recipe.path.parent
    if not data.train:
        raise UsageError(
            f"no speech to train on: {recipe.path.name}", "give it with --train FOLDER"
        )
    for kind in ("train", "dev", "noise", "rooms"):
        place = getattr(data, kind)
        if place and not (folder / place).exists():
            raise UsageError(f"no such place of {kind}: {folder / place}", f"give --{kind} FOLDER")
    return changed


def missing(recipe: Recipe) -> list[str]:
    """Return what the recipe asks for but has no recordings of, or has and never asks for."""
    data = recipe.data
    lines = []
    if not data.dev:
        lines.append("nothing is measured without other speakers: give --dev FOLDER")
    if data.noise_share > 0 and not data.noise:
        lines.append("mixtures stay without noise: give --noise FOLDER")
    if data.room_share > 0 and not data.rooms:
        lines.append("mixtures stay without rooms: give --rooms FOLDER")
    if data.noise and not data.noise_share:
        lines.append("noise is not heard: set data.noise_share in the recipe")
    if data.rooms and not data.room_share:
        lines.append("rooms are not heard: set data.room_share in the recipe")
    return lines


def _read_surroundings(recipe: Recipe, warn: Note) -> Surroundings:
    """Return the recipe's noises and rooms, decoded at the network's rate."""
    data, rate = recipe.data, recipe.model.sample_rate

    def read(place: str, share: float) -> dict[str, Waveform]:
        if not (place and share):
            return {}
        found, skipped = read_recordings(recipe.path.parent / place, rate)
        for line in skipped.lines():
            warn(line)
        return found

    noises = tuple(read(data.noise, data.noise_share).values())
    return Surroundings(noises, group_rooms(read(data.rooms, data.room_share), rate))
