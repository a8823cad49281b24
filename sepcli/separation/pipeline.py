"""Chunks of many recordings → one network → complete recordings; owns network, device and lanes."""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from sepcli.errors import SepcliError
from sepcli.memory import return_freed_memory
from sepcli.models.entry import ModelEntry
from sepcli.separation.lanes import Lanes, num_lanes
from sepcli.separation.plan import SeparationOptions, plan_recordings
from sepcli.separation.recording import Recording
from sepcli.separation.runner import Runner, choose_device
from sepcli.separation.shifts import Shifted
from sepcli.separation.speakers import Embed

Array = np.ndarray[Any, np.dtype[np.float32]]
Say = Callable[[str], None]
OnChunk = Callable[[Recording], None]

CHUNKS_TO_TIDY = 8  # each time costs as much as some milliseconds of the network
# Estimates are taken in and written in half the time where the network, which needs all caches,
# does not come between those of one chunk and the next. Nobody who watches sees so short a delay.
TOGETHER_CHUNKS, TOGETHER_SECONDS = 16, 0.5
MOST_WAITING = 4  # batches in the lanes, so that these have work while estimates are taken in
SIDE_BY_SIDE_SECONDS = 30.0  # longer chunks take so much memory that there is one at a time
# shorter ones are soon done, and lanes would wait for each other: Python runs in one at a time
LEAST_SIDE_BY_SIDE_SECONDS = 0.75

_Item = tuple[Recording, int | None]  # a chunk by its number; None: the recording has all it needs


def silent(_told: object) -> None:
    """Tell nobody."""


class _Done(NamedTuple):
    """A chunk that went through the network, or a recording that has nothing to go through it."""

    recording: Recording
    mixture: Array | None = None
    estimates: Array | None = None  # None where the mixture is silent
    failure: SepcliError | None = None


class Pipeline:
    """One network that any number of recordings go through.

    Args:
        network: `[batch, time] → [batch, speakers, time]`; moved to its device, and not changed.
        entry: What is known about it.
        options: How it runs.
        embed: Tells voices apart.
        say: Told what the user should know: batch size halved.

    Attributes:
        plan: How recordings are cut and joined.
        runner: Runs chunks on the device.
        weights_digest: Of the weights as they were given; a fast form holds others.

    Raises:
        DeviceError: The device is not available.
        UsageError: The overlap is not shorter than the chunk.
    """

    def __init__(
        self,
        network: nn.Module,
        entry: ModelEntry,
        options: SeparationOptions,
        embed: Embed,
        say: Say = silent,
    ) -> None:
        self.entry = entry
        self.options = options
        self.plan = plan_recordings(entry, options, embed)
        device = choose_device(options.device)
        self.weights_digest = _digest(network)
        heard = Shifted(network, options.shifts) if options.shifts > 1 else network
        self.runner = Runner(heard.eval(), device, options.precision, options.batch_size, say)
        is_short = self.plan.chunk <= SIDE_BY_SIDE_SECONDS * self.plan.sample_rate
        self._num_lanes = num_lanes(device) if is_short else 1

    @property
    def chunks_at_once(self) -> int:
        """Chunks that go together; taken up again at a multiple of it, a run gives the same."""
        return self.runner.batch_size * self._num_lanes

    def process(
        self, recordings: Iterable[Recording], on_chunk: OnChunk = silent
    ) -> Iterator[tuple[Recording, SepcliError | None]]:
        """Run all chunks of the recordings; yield each recording when it is complete or failed.

        Chunks of one length share batches, also those of different recordings.

        Args:
            recordings: Taken one by one, so that they can be read while others are worked on.
            on_chunk: Called after each chunk with its recording.
        """
        done: list[_Done] = []
        began = time.monotonic()
        with closing(self._run(self._batches(recordings))) as coming:
            while True:
                try:
                    found = next(coming, None)
                except BaseException:  # what is done is kept: a long recording can be resumed
                    deque(self._accept(done), maxlen=0)
                    raise
                done += found or ()
                now = time.monotonic()
                is_time = now - began >= TOGETHER_SECONDS
                if found is None or is_time or len(done) >= TOGETHER_CHUNKS:
                    yield from self._accept(done, on_chunk)
                    done, began = [], now
                if found is None:
                    return

    def _run(self, batches: Iterator[list[_Item]]) -> Generator[list[_Done], None, None]:
        """Run batches, side by side where that pays; yield what they gave, in their order."""
        running: deque[Future[list[_Done]]] = deque()
        with Lanes(self.runner.network, self._num_lanes) as lanes:
            while together := list(islice(batches, self._num_lanes)):
                # these run here, where they have all cores
                is_alone = len(together) == 1 or any(map(self._is_short, together))
                if not is_alone:
                    running.extend(lanes.start(self._separated, items) for items in together)
                while running and (is_alone or len(running) > MOST_WAITING or running[0].done()):
                    yield running.popleft().result()
                if is_alone:
                    yield from map(self._separated, together)
            while running:
                yield running.popleft().result()

    def _is_short(self, items: Sequence[_Item]) -> bool:
        """Return whether chunks are too short to run side by side with others."""
        return items[0][0].chunk_length < LEAST_SIDE_BY_SIDE_SECONDS * self.plan.sample_rate

    def _batches(self, recordings: Iterable[Recording]) -> Iterator[list[_Item]]:
        """Yield chunks of one length, as many as run at once; complete recordings by themselves."""
        waiting: dict[int, list[_Item]] = {}
        for recording in recordings:
            if recording.is_complete:
                yield [(recording, None)]
            for index in range(recording.num_accepted, len(recording.chunks)):
                if recording.is_given_up:
                    break
                items = waiting.setdefault(recording.chunk_length, [])
                items.append((recording, index))
                if len(items) >= self.runner.batch_size:
                    yield waiting.pop(recording.chunk_length)
            if len(waiting) > self.runner.batch_size:  # many lengths: hold no more files open
                yield waiting.pop(next(iter(waiting)))
        yield from waiting.values()

    def _separated(self, items: Sequence[_Item]) -> list[_Done]:
        """Run chunks of one length; what fails together is tried alone, to blame the right one."""
        items = [item for item in items if not item[0].is_given_up]
        try:
            mixtures = [None if n is None else recording.mixture(n) for recording, n in items]
            sounding = [mixture is not None and bool(mixture.any()) for mixture in mixtures]
            given = [
                recording.at_usual_level(mixture)
                for (recording, _), mixture, sounds in zip(items, mixtures, sounding, strict=True)
                if sounds and mixture is not None
            ]
            separated = iter(self.runner.run(given))
        except SepcliError as error:
            if len(items) > 1:
                return [done for item in items for done in self._separated([item])]
            recording = items[0][0]
            return [_Done(recording, failure=error)] if recording.give_up() else []
        return [
            _Done(recording, mixture, next(separated) if sounds else None)
            for (recording, _), mixture, sounds in zip(items, mixtures, sounding, strict=True)
        ]

    def _accept(
        self, done: Iterable[_Done], on_chunk: OnChunk = silent
    ) -> Iterator[tuple[Recording, SepcliError | None]]:
        """Give estimates to their recordings; yield those that are complete or failed."""
        for recording, mixture, estimates, failure in done:
            if failure is not None:
                yield recording, failure
                continue
            if recording.is_given_up:
                continue
            if mixture is not None:
                if estimates is None:
                    estimates = np.zeros((self.plan.num_speakers, len(mixture)), np.float32)
                try:
                    recording.accept(mixture, estimates)
                except SepcliError as error:  # its spool is full; others may go on
                    if recording.give_up():
                        yield recording, error
                    continue
                on_chunk(recording)
                if recording.num_accepted % CHUNKS_TO_TIDY == 0:
                    return_freed_memory()
            if recording.is_complete:
                yield recording, None


def _digest(network: nn.Module) -> str:
    """Return a SHA-256 that tells networks of one kind apart by their weights."""
    digest = hashlib.sha256()
    for name, values in network.state_dict().items():
        digest.update(f"{name} {tuple(values.shape)}".encode())
        digest.update(values.detach().contiguous().flatten().view(torch.uint8).cpu().numpy().data)
    return digest.hexdigest()
