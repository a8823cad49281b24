"""A training recipe: a TOML file read into frozen, checked settings.

A recipe has four tables: `model` (which network, its configuration), `data` (what is mixed, and
how), `optimiser` and `run` (lengths, logs, limits). Each table's keys are the fields below.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sepcli.errors import UsageError, did_you_mean
from sepcli.models.entry import LONGEST_CHUNK_SECONDS, ModelEntry
from sepcli.models.settings import from_table

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True, kw_only=True)
class ModelRecipe:
    """What is trained.

    Attributes:
        name: Name of the model folder's entry.
        architecture: Module under `sepcli.networks`.
        sample_rate: Rate of the network [Hz].
        config: Passed to the architecture's `Config`.
        chunk_seconds: Chunk at inference, longer than the overlap of two, 2 s [s].
        level: `"as-is"` where estimates have the level of their speaker, as the loss teaches; or
            `"fit"`.
        license: SPDX identifier of the weights' licence.
        paper: Address of the architecture's paper.
        trained_on: Name of the training data.
        note: One line worth knowing.
    """

    architecture: str
    name: str = ""
    sample_rate: int = 8000
    config: Mapping[str, Any] = field(default_factory=dict)
    chunk_seconds: float = 8.0
    level: Literal["as-is", "fit"] = "as-is"
    license: str = ""
    paper: str = ""
    trained_on: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """What is mixed, and how.

    Attributes:
        train: Folder, pack or manifest of single-speaker speech; relative to the recipe, as all
            places are. Recipes inside the package name none.
        dev: The same for the mixtures that measure progress; other speakers.
        noise: Folder of noise recordings; empty for none.
        rooms: Folder of room impulse responses; empty for none.
        segment_seconds: Length of a training mixture [s].
        level_db: Levels of two speakers differ by up to this [dB].
        speeds: Factors of the speed (and pitch) variants of each recording.
        noise_share: Share of mixtures with noise.
        noise_db: Lowest and highest level of the mixture over the noise [dB].
        room_share: Share of mixtures in a room; the references are then reverberant too.
        partial_share: Share of mixtures whose speakers take turns and overlap only in part.
        partial_overlap: Shortest and longest overlap of two turns, as part of the mixture.
        alone_share: Share of mixtures in which one speaker talks and the others are silent.
        alike_share: Share of mixtures whose speakers get the same long-term spectrum, as if one
            microphone heard two voices that are alike.
        colour_share: Share of mixtures whose speakers go through a smooth random filter each.
        compressed_share: Share of mixtures whose speakers go through a compressor each.
        pause_share: Share of mixtures in which nobody speaks for a while.
        pause_seconds: Shortest and longest such pause [s].
        effect_share: Share of mixtures with a telephone's band, clipping, hum, rumble or coding.
        weights: Part of a speaker's name (`corpus/`) → weight of all its speakers together;
            without it all speakers are equally likely.
        pools: Parts of speakers' names of which two are never mixed: the labels may hide one
            person.
        dev_mixtures: Number of development mixtures.
        dev_seconds: Shortest and longest development mixture [s].
        dev_seed: Seed of the development mixtures.
    """

    train: str = ""
    dev: str = ""
    noise: str = ""
    rooms: str = ""
    segment_seconds: float = 4.0
    level_db: float = 5.0
    speeds: tuple[float, ...] = (0.9, 0.95, 1.0, 1.05, 1.1)
    noise_share: float = 0.0
    noise_db: tuple[float, float] = (0.0, 20.0)
    room_share: float = 0.0
    partial_share: float = 0.0
    partial_overlap: tuple[float, float] = (0.05, 0.6)
    alone_share: float = 0.0
    alike_share: float = 0.0
    colour_share: float = 0.0
    compressed_share: float = 0.0
    pause_share: float = 0.0
    pause_seconds: tuple[float, float] = (0.5, 2.0)
    effect_share: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)
    pools: tuple[str, ...] = ()
    dev_mixtures: int = 60
    dev_seconds: tuple[float, float] = (4.0, 8.0)
    dev_seed: int = 7


@dataclass(frozen=True, kw_only=True)
class OptimiserRecipe:
    """How weights move.

    Attributes:
        method: `"adamw"`, or `"muon"`: Muon for the matrices of the network, AdamW for the rest.
        rate: Highest learning rate.
        warmup_steps: Steps of linear rise.
        decay: `"cosine"` to nothing at the last step, `"linear"` over the second half, `"none"`.
        weight_decay: Decoupled weight decay of matrices.
        clip: Largest norm of the gradient.
        accumulate: Batches whose gradients make one step.
        clamp_db: SNR that the loss never goes beyond; near it gradients vanish [dB].
        averaging: Decay of the running average of the weights; 0 for none.
    """

    method: Literal["adamw", "muon"] = "adamw"
    rate: float = 1e-3
    warmup_steps: int = 500
    decay: Literal["cosine", "linear", "none"] = "cosine"
    weight_decay: float = 0.01
    clip: float = 5.0
    accumulate: int = 1
    clamp_db: float = 30.0
    averaging: float = 0.999


@dataclass(frozen=True, kw_only=True)
class RunRecipe:
    """How long, how exactly, and what is written.

    Attributes:
        steps: Steps in all.
        batch_size: Mixtures a batch and process.
        seed: Of weights and data.
        precision: `"32-true"` or `"bf16-mixed"`, as Lightning names them; `"auto"` for the one
            that is fast on the machine.
        dev_every: Steps between two measurements on the development mixtures.
        save_every: Steps between two checkpoints.
        patience: Measurements without a gain after which training stops; 0 for never.
        weights: Number format of the weights that are written; with `"int8"` matrices take 8 bits
            a number, as those inside the package do.
    """

    steps: int = 100_000
    batch_size: int = 4
    seed: int = 0
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    dev_every: int = 1000
    save_every: int = 250
    patience: int = 0
    weights: Literal["float32", "float16", "int8"] = "float32"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole training run; `path` is the file it was read from."""

    path: Path
    model: ModelRecipe
    data: DataRecipe
    optimiser: OptimiserRecipe
    run: RunRecipe


def find_recipe(name: str) -> Path:
    """Return the file of a recipe: one inside the package by its name, or a path.

    Raises:
        UsageError: there is no such name, and no such file.
    """
    inside = {path.stem: path for path in sorted(RECIPES.glob("*.toml"))}
    if name in inside:
        return inside[name]
    if Path(name).is_file():
        return Path(name)
    raise UsageError(f"no such recipe: {name}", did_you_mean(name, inside))


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a TOML file.

    Raises:
        UsageError: the file cannot be read, or a key or value in it is wrong.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        hint = f"give a TOML file like those in {RECIPES}"
        raise UsageError(f"cannot read the recipe: {path}", hint) from problem
    kinds: dict[str, type[Any]] = {
        "model": ModelRecipe,
        "data": DataRecipe,
        "optimiser": OptimiserRecipe,
        "run": RunRecipe,
    }
    for name, table in tables.items():
        if name not in kinds:
            raise UsageError(f"unknown table of {path.name}: {name}", did_you_mean(name, kinds))
        if not isinstance(table, dict):
            raise UsageError(f"not a table in {path.name}: {name}", f"write it as [{name}]")
    made: dict[str, Any] = {
        name: from_table(
            kind, tables.get(name, {}), where=f"[{name}] of {path.name}", error=UsageError
        )
        for name, kind in kinds.items()
    }
    recipe = Recipe(path=path, **made)
    _check(recipe)
    return recipe


def _check(recipe: Recipe) -> None:
    """Refuse values of the right type that make no sense."""
    data, run, optimiser = recipe.data, recipe.run, recipe.optimiser
    overlap = ModelEntry.overlap_seconds  # of the chunks of every model that says nothing else
    wrong = {
        "model.chunk_seconds": not overlap < recipe.model.chunk_seconds <= LONGEST_CHUNK_SECONDS,
        "model.sample_rate": not 1000 <= recipe.model.sample_rate <= 192_000,
        "data.segment_seconds": not 0.05 <= data.segment_seconds <= 600,
        "data.speeds": not data.speeds or not all(0.5 <= speed <= 2 for speed in data.speeds),
        "data.noise_db": data.noise_db[0] > data.noise_db[1],
        "data.dev_seconds": not 0.0 < data.dev_seconds[0] <= data.dev_seconds[1],
        "data.noise_share": not 0 <= data.noise_share <= 1,
        "data.room_share": not 0 <= data.room_share <= 1,
        "data.alike_share": not 0 <= data.alike_share <= 1,
        "data.colour_share": not 0 <= data.colour_share <= 1 - data.alike_share,
        "data.compressed_share": not 0 <= data.compressed_share <= 1,
        "data.pause_share": not 0 <= data.pause_share <= 1,
        "data.pause_seconds": not 0 < data.pause_seconds[0] <= data.pause_seconds[1],
        "data.effect_share": not 0 <= data.effect_share <= 1,
        "data.alone_share": not 0 <= data.alone_share <= 1,
        "data.partial_share": not 0 <= data.partial_share <= 1 - data.alone_share,
        "data.weights": any(weight < 0 for weight in data.weights.values()),
        "data.dev_seed": data.dev_seed < 0,
        "data.dev_mixtures": data.dev_mixtures < 1,
        "data.partial_overlap": not 0 <= data.partial_overlap[0] <= data.partial_overlap[1] <= 1,
        "optimiser.rate": not 0 < optimiser.rate < 10,
        "optimiser.weight_decay": optimiser.weight_decay < 0,
        "optimiser.clip": optimiser.clip <= 0,
        "optimiser.averaging": not 0 <= optimiser.averaging < 1,
        "optimiser.accumulate": optimiser.accumulate < 1,
        "run.steps": run.steps < 1,
        "run.batch_size": run.batch_size < 1,
        "run.seed": run.seed < 0,
        "run.dev_every": run.dev_every < 1,
        "run.save_every": run.save_every < 1,
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            table, key = name.split(".")
            value = getattr(getattr(recipe, table), key)
            raise UsageError(
                f"{recipe.path.name} makes no sense: {name} = {value}", "correct the recipe"
            )
