"""The training loop, on Lightning Fabric: steps, measurements, checkpoints, exact resume.

Where a run stands is one number, the steps done: batches are functions of (seed, step), random
layers are seeded with (seed, step), the learning rate is a function of the step. Together with
weights, their average and the optimisers' states, a checkpoint therefore decides all that follows,
bit for bit on one processor. Devices, processes and machines are Fabric's business.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from sepcli.evaluation.metrics import best_order, pairwise_si_sdr, reorder, si_sdr_improvement
from sepcli.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from sepcli.training.export import Measurement
from sepcli.training.loader import Batch, Loader
from sepcli.training.loss import pit_snr
from sepcli.training.optimiser import make_optimisers, rate_factor, set_rate
from sepcli.training.recipe import Recipe

CHECKPOINT_FILE = "checkpoint.pt"
SEED_STRIDE = 1_000_003  # a prime, so that the seeds of neighbour runs do not meet


@dataclass(frozen=True)
class Outcome:
    """How a run, or a slice of it, ended.

    Attributes:
        finished: Whether it reached its last step or stopped early; else the time was up.
        weights: The weights to keep: averaged, at the best measurement.
        measurements: All so far.
        best: The one that chose the weights; None where nothing was measured.
        audio_rate: Seconds of mixtures trained on per second.
        idle_share: Part of the time that the network waited for batches.
        optimiser_share: Part of the time that the optimisers took.
        skipped_steps: Steps left out because their gradient was not finite.
    """

    finished: bool
    weights: dict[str, Tensor]
    measurements: list[Measurement]
    best: Measurement | None
    audio_rate: float
    idle_share: float
    optimiser_share: float
    skipped_steps: int


def ignore(_: object) -> None:
    """Take note of nothing."""


@dataclass
class Trainer:
    """One run of a recipe.

    Attributes:
        fabric: Launched already.
        network: In float32.
        recipe: The settings.
        make_batch: Number of a batch → mixtures `[batch, time]`, references
            `[batch, speakers, time]`.
        dev: Development mixtures `[time]` with references `[speakers, time]`.
        folder: Where the checkpoint is.
        on_step: Told the number of steps done.
        on_measurement: Told of each measurement.
        on_resume: Told the step of the checkpoint that it goes on from.
        optimiser_seconds: Time spent in the optimisers so far.
    """

    fabric: Fabric
    network: nn.Module
    recipe: Recipe
    make_batch: Callable[[int], Batch]
    dev: Sequence[Batch]
    folder: Path
    on_step: Callable[[int], None] = ignore
    on_measurement: Callable[[Measurement], None] = ignore
    on_resume: Callable[[int], None] = ignore
    optimiser_seconds: float = field(default=0.0, init=False)

    def run(self, *, time_limit_seconds: float = math.inf) -> Outcome:
        """Train from the checkpoint in the folder, or from the start, to the end or the limit."""
        began = time.monotonic()
        optimisers = make_optimisers(self.network, self.recipe.optimiser)
        self.network.train()
        wrapped = self.fabric.setup(self.network, *optimisers)
        module, ready = wrapped[0], list(wrapped[1:])
        average = {key: value.detach().clone() for key, value in self._state().items()}
        progress = Progress()
        if self._file.is_file():
            progress = load_checkpoint(self._file, self.network, ready, average)
            self.on_resume(progress.step)
        first, accumulate = progress.step, self.recipe.optimiser.accumulate
        with Loader(self.make_batch, first * accumulate) as loader:
            end = began + time_limit_seconds
            while not (self._is_over(progress) or self._time_is_up(end)):
                self._step(module, ready, loader, progress, average)
                self._after_step(progress, average, ready)
            self._save(ready, average, progress)
            waited = loader.waited_seconds
        seconds = max(time.monotonic() - began, 1e-9)
        return Outcome(
            finished=self._is_over(progress),
            weights=progress.best_weights or average,
            measurements=list(progress.measurements),
            best=progress.best,
            audio_rate=(progress.step - first) * self._seconds_a_step() / seconds,
            idle_share=waited / seconds,
            optimiser_share=self.optimiser_seconds / seconds,
            skipped_steps=progress.skipped_steps,
        )

    def _step(
        self,
        module: nn.Module,
        optimisers: list[Optimizer],
        loader: Loader,
        progress: Progress,
        average: dict[str, Tensor],
    ) -> None:
        """One update of the weights and of their average; counts it in `progress`."""
        settings = self.recipe.optimiser
        torch.manual_seed(self.recipe.run.seed * SEED_STRIDE + progress.step)
        set_rate(optimisers, rate_factor(progress.step, self.recipe.run.steps, settings))
        for optimiser in optimisers:
            optimiser.zero_grad()
        reached = torch.zeros((), device=self.fabric.device)
        for part in range(settings.accumulate):
            mixtures, references = self.fabric.to_device(loader.next_batch())
            more = part < settings.accumulate - 1
            with self.fabric.no_backward_sync(cast(Any, module), enabled=more):
                estimates = module(mixtures).float()
                scores = pit_snr(estimates, references, mixtures, threshold_db=settings.clamp_db)
                loss = -scores.mean() / settings.accumulate
                self.fabric.backward(loss)
            reached -= loss.detach()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        before = time.monotonic()
        if bool(norm.isfinite()):
            for optimiser in optimisers:
                optimiser.step()
        else:
            progress.skipped_steps += 1
        self.optimiser_seconds += time.monotonic() - before
        progress.step += 1
        if math.isfinite(snr := float(reached)):
            progress.train_sum += snr
            progress.train_count += 1
        self._average(average, progress.step)

    def _average(self, average: dict[str, Tensor], step: int) -> None:
        """Move the average towards the weights; early on it forgets faster."""
        decay = min(self.recipe.optimiser.averaging, (1 + step) / (10 + step))
        for key, value in self._state().items():
            if value.is_floating_point():
                average[key].lerp_(value, 1 - decay)
            else:
                average[key].copy_(value)

    def _after_step(
        self, progress: Progress, average: dict[str, Tensor], optimisers: list[Optimizer]
    ) -> None:
        """Measure and save where it is time to."""
        run = self.recipe.run
        self.on_step(progress.step)
        if self.dev and (progress.step % run.dev_every == 0 or progress.step == run.steps):
            measurement = self._measure(progress, average)
            progress.add(measurement, average)
            self.on_measurement(measurement)
        if progress.step % run.save_every == 0:
            self._save(optimisers, average, progress)

    @torch.no_grad()
    def _measure(self, progress: Progress, average: dict[str, Tensor]) -> Measurement:
        """SI-SDRi of the averaged weights, the development mixtures shared among processes."""
        kept = {key: value.clone() for key, value in self._state().items()}
        self.network.load_state_dict(average)
        self.network.eval()
        total = torch.zeros(2, dtype=torch.float64, device=self.fabric.device)
        for mixture, references in self.dev[self.fabric.global_rank :: self.fabric.world_size]:
            here, truth = self.fabric.to_device((mixture, references))
            estimate = self.network(here.unsqueeze(0))[0]
            ordered = reorder(estimate, best_order(pairwise_si_sdr(estimate, truth)))
            gained = si_sdr_improvement(ordered, truth, here).mean()
            if gained.isfinite():  # a silent reference has no score
                total += torch.stack((gained, torch.ones_like(gained)))
        self.network.load_state_dict(kept)
        self.network.train()
        total = cast(Tensor, self.fabric.all_reduce(total, reduce_op="sum"))
        seconds = self._seconds_a_step() * progress.step
        return Measurement(
            step=progress.step,
            hours=seconds / 3600,
            train_snr_db=progress.train_sum / max(1, progress.train_count),
            dev_si_sdri_db=float(total[0] / total[1]),
            rate=self.recipe.optimiser.rate
            * rate_factor(progress.step - 1, self.recipe.run.steps, self.recipe.optimiser),
        )

    def _is_over(self, progress: Progress) -> bool:
        run = self.recipe.run
        stale = 0 < run.patience <= progress.measured_since_best
        return progress.step >= run.steps or stale

    def _time_is_up(self, end: float) -> bool:
        """Whether any process is past the end; all decide alike."""
        if math.isinf(end):
            return False
        late = torch.tensor(float(time.monotonic() >= end), device=self.fabric.device)
        return float(cast(Tensor, self.fabric.all_reduce(late, reduce_op="sum"))) > 0

    def _save(
        self, optimisers: list[Optimizer], average: dict[str, Tensor], progress: Progress
    ) -> None:
        if self.fabric.is_global_zero:
            save_checkpoint(self._file, self._state(), optimisers, average, progress)
        self.fabric.barrier()

    @property
    def _file(self) -> Path:
        return self.folder / CHECKPOINT_FILE

    def _state(self) -> dict[str, Tensor]:
        return dict(self.network.state_dict())

    def _seconds_a_step(self) -> float:
        """Length of the mixtures of one step over all processes [s]."""
        mixtures = self.recipe.run.batch_size * self.recipe.optimiser.accumulate
        return mixtures * self.fabric.world_size * self.recipe.data.segment_seconds


def config_values(network: nn.Module) -> dict[str, Any]:
    """Return a network's configuration without what is absent, which TOML cannot say."""
    return _present(dataclasses.asdict(cast(Any, network).config))


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _present(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }
