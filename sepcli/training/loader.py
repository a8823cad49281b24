"""Batches made ahead of the network by a thread, each a function of (seed, step) alone.

Because nothing else decides what a batch holds, a run that is resumed at some step sees exactly
the batches that it would have seen.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import numpy as np
import torch
from torch import Tensor

from sepcli.training.dataset import Generator, Waveform

AHEAD = 4  # batches

Batch = tuple[Tensor, Tensor]
"""Mixtures `[batch, time]` and references `[batch, speakers, time]`."""

Draw = Callable[[Generator], tuple[Waveform, Waveform]]


def make_batch(draw: Draw, batch_size: int, key: tuple[int, ...]) -> Batch:
    """Return the batch of a key, which seeds all that is drawn."""
    rng = np.random.default_rng(key)
    pairs = [draw(rng) for _ in range(batch_size)]
    mixtures = np.stack([mixture for mixture, _ in pairs])
    references = np.stack([reference for _, reference in pairs])
    return torch.from_numpy(mixtures), torch.from_numpy(references)


class Loader:
    """Gives batches in order, prepared in the background; a context manager.

    Attributes:
        waited_seconds: How long `next_batch` had to wait in all.
    """

    def __init__(self, make: Callable[[int], Batch], start: int) -> None:
        """Prepare `make(start)`, `make(start + 1)`, … ahead."""
        self.waited_seconds = 0.0
        self._make, self._numbers = make, itertools.count(start)
        self._pool = ThreadPoolExecutor(1, "loader")
        self._coming: deque[Future[Batch]] = deque()
        for _ in range(AHEAD):
            self._prepare()

    def next_batch(self) -> Batch:
        """Return the next batch; an error while it was made is raised here."""
        self._prepare()
        before = time.perf_counter()
        batch = self._coming.popleft().result()
        self.waited_seconds += time.perf_counter() - before
        return batch

    def _prepare(self) -> None:
        self._coming.append(self._pool.submit(self._make, next(self._numbers)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
