"""Trains designs of the default separator from the start, each for the same processor time.

    python benchmarks/designs.py tokens bands both OUTPUT --speech SPEECH --minutes 45 --easy
    python benchmarks/designs.py tokens OUTPUT --speech SPEECH --hours 2 --set batch_size=2

The same mixtures in the same order, the learning rate of `ensemble-16k` falling to nothing over the
second half; one thread, and processor time, not time by the clock, so other work matters little.
How many steps that is, is measured first. OUTPUT/NAME.csv is the curve of each. Easy mixtures are
clean and fully overlapped, as those are that measure.
"""

import argparse
import csv
import dataclasses
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from sepcli.networks import stftformer
from sepcli.networks.layers.fourier import analyse, sine_window, synthesise
from sepcli.training.export import Measurement
from sepcli.training.loop import Trainer, ignore
from sepcli.training.precision import chosen_precision
from sepcli.training.recipe import DataRecipe, OptimiserRecipe, Recipe, find_recipe, read_recipe
from sepcli.training.setup import (
    Material,
    batch_maker,
    dev_mixtures,
    read_material,
    with_places,
)

MIXTURES = "ensemble-16k"  # whose recipe says what is mixed, and how weights move
NETWORK = "stftformer-16k"  # whose configuration the designs share
WARM_STEPS, MEASURED_STEPS = 10, 50
MEASUREMENTS = 10
DESIGNS = ("tokens", "bands", "both")
BATCH_SIZE = 4


class Bands(nn.Module):
    """Frequency bands as groups of group communication: `[batch, time]` → estimates.

    In each block one small layer over time serves all bands, one lets the bands of a frame talk
    (transform, average, concatenate; Luo, Han, Mesgarani, 2021, https://arxiv.org/abs/2012.07291),
    and a frame attends to the others once, for all its bands.
    """

    window: Tensor

    def __init__(self, config: stftformer.Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = stftformer.BandEncoder(config)
        self.blocks = nn.ModuleList(BandsBlock(config) for _ in range(config.num_blocks))
        self.masker = stftformer.BandMasker(config)
        for linear in self.masker.linears:
            nn.init.normal_(linear.weight, std=0.5 / config.band_channels**0.5)
        self.register_buffer("window", sine_window(config.window, config.stride), persistent=False)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]`."""
        config = self.config
        level = (mixture.square().mean(-1, keepdim=True) + stftformer.SILENCE).sqrt()
        spectrum = analyse(mixture / level, self.window, config.stride)  # [B, L, F]
        parts = stftformer.compressed(spectrum, config.compression)
        bands = self.encoder(stftformer.neighbours(parts))  # [B, L, K, C]
        rotation = stftformer.rotary_table(bands, config.dim // config.heads)
        for block in self.blocks:
            bands = block(bands, rotation)
        masked = self.masker(bands) * spectrum.unsqueeze(1)  # [B, S, L, F]
        estimates = synthesise(masked, self.window, config.stride, mixture.shape[-1])
        scaled: Tensor = estimates * level.unsqueeze(1)
        return scaled


class BandsBlock(nn.Module):
    """Over time, over bands, and attention once a frame, each added to what comes in."""

    def __init__(self, config: stftformer.Config) -> None:
        super().__init__()
        channels, size = config.band_channels, len(config.bands) * config.band_channels
        self.over_time = stftformer.BandFeedForward(channels, config.band_hidden)
        self.norm = nn.LayerNorm(channels)
        self.told = nn.Sequential(nn.Linear(channels, config.band_hidden), nn.GELU("tanh"))
        self.mean = nn.Sequential(
            nn.Linear(config.band_hidden, config.band_hidden), nn.GELU("tanh")
        )
        self.heard = nn.Linear(2 * config.band_hidden, channels, bias=False)
        self.read = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, config.dim, bias=False))
        self.attention = stftformer.Attention(config.dim, config.heads)
        self.write = nn.Sequential(
            nn.LayerNorm(config.dim), nn.Linear(config.dim, size, bias=False)
        )
        for last in (self.heard, self.write[1]):
            nn.init.normal_(last.weight, std=0.3 / last.in_features**0.5)

    def forward(self, bands: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """Bands `[batch, frames, bands, channels]`, refined."""
        bands = bands + self.over_time(bands)
        own = self.told(self.norm(bands))  # [B, L, K, hidden]
        mean = self.mean(own.mean(2, keepdim=True)).expand_as(own)
        bands = bands + self.heard(torch.cat((own, mean), -1))
        token = self.read(bands.flatten(2))
        token = token + self.attention(token, rotation)
        refined: Tensor = bands + self.write(token).view_as(bands)
        return refined


def make_design(name: str, seed: int) -> nn.Module:
    """Return the network of a design, its fresh weights drawn from a seed."""
    torch.manual_seed(seed)
    values = tomllib.loads(find_recipe(NETWORK).read_text(encoding="utf-8"))["model"]["config"]
    both = stftformer.Config(**values | {"bands": tuple(values["bands"])})
    if name == "tokens":
        return stftformer.Network(dataclasses.replace(both, bands=()))
    if name == "both":
        return stftformer.Network(both)
    return Bands(dataclasses.replace(both, band_channels=48, band_hidden=96, num_blocks=5))


@dataclass(frozen=True)
class Row:
    """A measurement, and the processor time until then [min]."""

    minutes: float
    measurement: Measurement


def seconds_a_step(network: nn.Module, recipe: Recipe, material: Material) -> float:
    """Return the processor time of a step [s]."""
    measured = [0.0]

    def note(step: int) -> None:
        if step == WARM_STEPS:
            measured[0] = time.process_time()

    steps = WARM_STEPS + MEASURED_STEPS
    run_steps(network, changed(recipe, {"steps": steps}), material, (), note, ignore)
    return (time.process_time() - measured[0]) / MEASURED_STEPS


def run_steps(
    network: nn.Module,
    recipe: Recipe,
    material: Material,
    dev: Sequence[Any],
    on_step: Any,
    on_measurement: Any,
) -> None:
    """Train for all steps of a recipe, in one process of one thread."""
    precision = chosen_precision(recipe.run.precision, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:  # for a checkpoint that nothing goes on from
        Trainer(
            fabric=Fabric(accelerator="cpu", devices=1, precision=precision),
            network=network,
            recipe=recipe,
            make_batch=batch_maker(recipe, material, 2, 0),
            dev=dev,
            folder=Path(folder),
            on_step=on_step,
            on_measurement=on_measurement,
        ).run()


def changed(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """Return a recipe with other values of keys, whatever table they stand in.

    Raises:
        KeyError: No table has such a key.
    """
    unknown = dict(values)
    for table in ("data", "optimiser", "run"):
        part: DataRecipe | OptimiserRecipe | Any = getattr(recipe, table)
        own = {key: value for key, value in values.items() if hasattr(part, key)}
        recipe = dataclasses.replace(recipe, **{table: dataclasses.replace(part, **own)})
        unknown = {key: value for key, value in unknown.items() if key not in own}
    if unknown:
        raise KeyError(f"not in the recipe: {', '.join(unknown)}")
    return recipe


def train(name: str, recipe: Recipe, material: Material, arguments: argparse.Namespace) -> None:
    """Train a design and write its curve."""
    output: Path = arguments.output
    recipe = changed(recipe, {"save_every": 10**9, "dev_every": 10**9})
    a_step = seconds_a_step(make_design(name, recipe.run.seed), recipe, material)
    heard = recipe.run.batch_size * recipe.optimiser.accumulate * recipe.data.segment_seconds
    seconds = (
        60 * arguments.minutes if arguments.minutes else 3600 * arguments.hours / heard * a_step
    )
    steps = max(MEASUREMENTS, int(seconds / a_step))
    recipe = changed(recipe, {"steps": steps, "dev_every": steps // MEASUREMENTS})
    network = make_design(name, recipe.run.seed)
    count = sum(parameter.numel() for parameter in network.parameters())
    print(f"{name}: {count / 1e6:.2f} M, {heard / a_step:.0f} s/s, {steps} steps", flush=True)
    began, rows = time.process_time(), []

    def note(measurement: Measurement) -> None:
        rows.append(Row((time.process_time() - began) / 60, measurement))
        print(
            f"{name}: {rows[-1].minutes:.1f} min, {measurement.hours:.2f} h, "
            f"SNR {measurement.train_snr_db:.2f} dB, SI-SDRi {measurement.dev_si_sdri_db:.2f} dB",
            flush=True,
        )

    dev = dev_mixtures(recipe, material, 2)
    run_steps(network, recipe, material, dev, ignore, note)
    with (output / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("minutes", "step", "hours", "train_snr_db", "dev_si_sdri_db", "rate"))
        table.writerows((row.minutes, *dataclasses.astuple(row.measurement)) for row in rows)


def main() -> None:
    """Train each design."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("designs", nargs="+", choices=DESIGNS)
    parser.add_argument("output", type=Path)
    parser.add_argument("--speech", type=Path, required=True, help="train/, dev/, robust/")
    parser.add_argument("--minutes", type=float, default=0.0, help="of processor time for each")
    parser.add_argument("--hours", type=float, default=0.0, help="of mixtures for each, instead")
    parser.add_argument("--easy", action="store_true", help="clean, fully overlapped mixtures")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of the recipe")
    arguments = parser.parse_args()
    if (arguments.minutes > 0) == (arguments.hours > 0):
        parser.error("give --minutes or --hours")
    torch.set_num_threads(1)
    speech: Path = arguments.speech
    recipe = with_places(
        read_recipe(find_recipe(MIXTURES)),
        train=speech / "train",
        dev=speech / "dev",
        noise=speech / "robust" / "noise",
        rooms=speech / "robust" / "rir",
    )
    shares = (field.name for field in dataclasses.fields(DataRecipe))
    easy = {key: 0.0 for key in shares if key.endswith("_share") and arguments.easy}
    values = tomllib.loads("\n".join(arguments.set))
    recipe = changed(recipe, {"batch_size": BATCH_SIZE} | easy | values)
    material = read_material(recipe, 2, arguments.output / "decoded", note=print, warn=print)
    for name in arguments.designs:
        train(name, recipe, material, arguments)


if __name__ == "__main__":
    main()
