"""Batches made ahead of the network by a thread, each a function of (seed, step) alone.

Because nothing else decides what a batch holds, a run that is resumed at some step sees exactly
the batches that it would have seen.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import Self

import numpy as np
import torch
from torch import Tensor

from sepcli.training.dataset import Generator, Waveform

AHEAD = 4  # batches
POLL_SECONDS = 0.2

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
        self._make = make
        self._queue: queue.Queue[Batch | BaseException] = queue.Queue(AHEAD)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(start,), daemon=True)
        self._thread.start()

    def next_batch(self) -> Batch:
        """Return the next batch; an error while it was made is raised here."""
        before = time.perf_counter()
        batch = self._queue.get()
        self.waited_seconds += time.perf_counter() - before
        if isinstance(batch, BaseException):
            raise batch
        return batch

    def _work(self, number: int) -> None:
        while not self._stop.is_set():
            item: Batch | BaseException
            try:
                item = self._make(number)
            except BaseException as problem:  # carried over to the thread that asks
                item = problem
            number += 1
            while not self._stop.is_set():
                try:
                    self._queue.put(item, timeout=POLL_SECONDS)
                    break
                except queue.Full:
                    continue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
