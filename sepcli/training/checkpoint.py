"""A run's state in one file: weights, average, optimisers, and how far it has come.

It is written beside the old one and moved over it, so a kill at any moment leaves one whole file.
"""

import io
import math
import pickle
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sepcli.errors import WeightsError
from sepcli.files import write_whole
from sepcli.training.export import Measurement


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        step: Steps done.
        skipped_steps: Steps left out because their gradient was not finite.
        train_sum: Sum of the training SNR since the last measurement [dB].
        train_count: Steps in that sum.
        measurements: All so far.
        best: The best of them.
        best_weights: The averaged weights there.
    """

    step: int = 0
    skipped_steps: int = 0
    train_sum: float = 0.0
    train_count: int = 0
    measurements: list[Measurement] = field(default_factory=list)
    best: Measurement | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def measured_since_best(self) -> int:
        """Measurements after the best one."""
        if self.best is None:
            return 0
        return sum(row.step > self.best.step for row in self.measurements)

    def add(self, measurement: Measurement, average: dict[str, Tensor]) -> None:
        """Note a measurement of the averaged weights and keep them if they are the best."""
        self.measurements.append(measurement)
        self.train_sum, self.train_count = 0.0, 0
        least = -math.inf if self.best is None else self.best.dev_si_sdri_db
        if measurement.dev_si_sdri_db > least:  # never of nan, where nothing has a score
            self.best = measurement
            self.best_weights = {key: value.clone() for key, value in average.items()}


def save_checkpoint(
    path: Path,
    weights: dict[str, Tensor],
    optimisers: list[Optimizer],
    average: dict[str, Tensor],
    progress: Progress,
) -> None:
    """Write a checkpoint whole or not at all."""
    buffer = io.BytesIO()
    torch.save(
        {
            "weights": weights,
            "average": average,
            "optimisers": [optimiser.state_dict() for optimiser in optimisers],
            **vars(progress),
            "measurements": [asdict(row) for row in progress.measurements],
            "best": None if progress.best is None else asdict(progress.best),
        },
        buffer,
    )
    write_whole(path, buffer.getvalue())


# what torch and the unpickler raise on files that are damaged or hold something else
UNFIT = (
    *(RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError, OSError, EOFError),
    pickle.UnpicklingError,
)


def load_checkpoint(
    path: Path, network: nn.Module, optimisers: list[Optimizer], average: dict[str, Tensor]
) -> Progress:
    """Put a checkpoint into network, optimisers and average, and return how far it had come.

    Raises:
        WeightsError: it is damaged, or of another network.
    """
    hint = "train into another folder, or remove it to begin anew"
    device = next(network.parameters()).device
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        network.load_state_dict(state["weights"])
        for optimiser, held in zip(optimisers, state["optimisers"], strict=True):
            # rates and decay are the recipe's, which may have been changed since
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": held["state"], "param_groups": groups})
        for key, value in average.items():
            value.copy_(state["average"][key])
        known = {each.name: state[each.name] for each in fields(Progress)}
        known["measurements"] = [Measurement(**row) for row in known["measurements"]]
        known["best"] = None if known["best"] is None else Measurement(**known["best"])
        return Progress(**known)
    except UNFIT as problem:
        raise WeightsError(f"checkpoint does not fit this recipe: {path}", hint) from problem
