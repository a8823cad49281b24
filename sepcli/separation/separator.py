"""Separator: recording → one estimate per speaker; owns the network, its device and its batches."""

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import nn

from sepcli.audio import AudioInfo, AudioReader
from sepcli.errors import AudioError, SepcliError, UsageError
from sepcli.files import remove_stale_temporaries
from sepcli.memory import return_freed_memory
from sepcli.models.load import load_model, resolve_model
from sepcli.models.registry import DEFAULT_MODEL, ModelEntry
from sepcli.separation.chunking import seconds_to_samples
from sepcli.separation.jobs import Naming
from sepcli.separation.lanes import Lanes, num_lanes
from sepcli.separation.recording import Leakage, Level, Recording, RecordingPlan
from sepcli.separation.runner import Precision, Runner, choose_device
from sepcli.separation.scratch import Spool
from sepcli.separation.speakers import Embed, SpeakerOrder, embedding
from sepcli.separation.writing import OutputOptions, deliver, prepare_folder, refuse_unwritable

Array = np.ndarray[Any, np.dtype[np.float32]]
Say = Callable[[str], None]

BLOCK_SAMPLES = 1 << 16
CHUNKS_TO_TIDY = 8  # each time costs as much as some milliseconds of the network
# What is done with the estimates of a chunk costs half as much if the code for it is still in the
# caches from another chunk, and not driven out by the network.
TOGETHER_CHUNKS = 16
TOGETHER_SECONDS = 0.5  # a user who watches should not mind the difference
MOST_WAITING = 4  # batches in the lanes, so that these have work while estimates are taken in
SIDE_BY_SIDE_SECONDS = 30.0  # longer chunks take so much memory that there is one at a time

_Item = tuple[Recording, int | None]  # a chunk by its number; None: the recording has all it needs


def _silent(_message: str) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class SeparationOptions:
    """How a separator runs; None leaves a choice to the model or the device.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `fp32`, `bf16` or `fp16`; the lower two are less exact, and
            faster where the device has such arithmetic.
        chunk_seconds: Length of a chunk [s].
        overlap_seconds: Overlap of neighbouring chunks [s].
        batch_size: Chunks run at once.
        level: `"fit"` or `"as-is"`, see `ModelEntry.level`.
        leakage: `"remove"` takes faint copies of who speaks out of who is silent, at a price where
            there is little leakage (docs/speaker-order.md); `"keep"` leaves estimates alone.
        voices: Which voice embedding tells speakers apart: `builtin` or `ecapa`.
    """

    device: str = "auto"
    precision: Precision = "fp32"
    chunk_seconds: float | None = None
    overlap_seconds: float | None = None
    batch_size: int | None = None
    level: Level | None = None
    leakage: Leakage = "keep"
    voices: str = embedding.BUILTIN


@dataclass(frozen=True)
class Separation:
    """One recording, separated.

    Attributes:
        estimates: One waveform per speaker, `[speakers, samples]` float32, as long as the
            recording and sample-aligned with it.
        sample_rate: That of the recording [Hz].
        order: Who is who in every chunk, with margins.
        warnings: What was wrong with the recording, a line each.
    """

    estimates: Array
    sample_rate: int
    order: SpeakerOrder
    warnings: tuple[str, ...] = field(default=())


class _Done(NamedTuple):
    """A chunk that went through the network, or a recording that has nothing to go through it."""

    recording: Recording
    mixture: Array | None = None
    estimates: Array | None = None  # None where the mixture is silent
    failure: SepcliError | None = None


class Separator:
    """A loaded separator; one serves any number of recordings.

    Args:
        network: `[batch, time] → [batch, speakers, time]`; prepared for its device, so give a copy
            of one that is to be trained or stored again.
        entry: What is known about it.
        options: How it runs.
        say: Told what the user should know: batch size halved, fallback used.
        embed: Voice embedding that is loaded already; None to load that of `options.voices`.

    Raises:
        DeviceError: The device is not available.
        ModelError: There are no voices of that name.
        WeightsError: Their weights cannot be fetched or do not fit.
        UsageError: The overlap is not shorter than the chunk.
    """

    def __init__(
        self,
        network: nn.Module,
        entry: ModelEntry,
        options: SeparationOptions | None = None,
        say: Say = _silent,
        embed: Embed | None = None,
    ) -> None:
        options = options or SeparationOptions()
        self.entry = entry
        self.options = options
        self.plan = _plan(entry, options, embed or embedding.load_embed(options.voices))
        device = choose_device(options.device)
        self._network = network.eval()
        self.runner = Runner(network, device, options.precision, options.batch_size, say)
        is_short = self.plan.chunk <= SIDE_BY_SIDE_SECONDS * self.plan.sample_rate
        self._num_lanes = num_lanes(device) if is_short else 1

    @property
    def chunks_at_once(self) -> int:
        """Chunks that go together; taken up again at a multiple of it, a run gives the same."""
        return self.runner.batch_size * self._num_lanes

    @classmethod
    def from_pretrained(
        cls,
        model: str = DEFAULT_MODEL,
        *,
        revision: str = "",
        options: SeparationOptions | None = None,
        say: Say = _silent,
    ) -> Self:
        """Return a separator with the weights of `model`, fetched if they are not here yet.

        Args:
            model: Name of an entry, a model folder, or `hf:ORG/REPO`.
            revision: Commit, tag or branch of the repository; empty for the entry's.
            options: How it runs.
            say: Told what the user should know.

        Raises:
            ModelError: The model is unknown or its configuration is wrong.
            WeightsError: The weights cannot be fetched or do not fit.
            DeviceError: The device is not available.
        """
        options = options or SeparationOptions()
        choose_device(options.device)  # before a download, not after it
        loaded = load_model(resolve_model(model, revision=revision or None))
        if loaded.note:
            say(loaded.note)
        return cls(loaded.network, loaded.entry, options, say)

    def separate(self, waveform: Array | torch.Tensor, sample_rate: int) -> Separation:
        """Return one estimate per speaker of a waveform in memory.

        Args:
            waveform: `[samples]` or `[channels, samples]`; channels are mixed down. Full scale
                is ±1, though other scales come back as they went in.
            sample_rate: Its rate [Hz].

        Raises:
            AudioError: The waveform is empty, has more than two dimensions, or more channels than
                samples, as a file read by soundfile would seem to have; or the rate is none.
        """
        reader = _WaveformReader(waveform, sample_rate)
        spool = Spool(self.plan.num_speakers)
        try:
            recording = Recording(reader, self.plan, spool)
            self._complete(recording)
            order = recording.solve()
            blocks = list(recording.resampled(order, sample_rate))
            estimates = np.concatenate(blocks, axis=1)
            return Separation(estimates, sample_rate, order, recording.warnings)
        finally:
            spool.close()

    def separate_file(
        self, path: str | Path, output_dir: str | Path = "separated", *, overwrite: bool = False
    ) -> list[Path]:
        """Write `<stem>_spk1.wav`, … into `output_dir` and return their paths.

        More choices are on the command line.

        Args:
            path: The recording.
            output_dir: Made where it is not there.
            overwrite: Whether outputs that are there are replaced.

        Raises:
            AudioError: The recording cannot be read.
            OutputError: The outputs cannot be written, or are there already.
        """
        path, folder = Path(path), Path(output_dir)
        naming = Naming(folder=folder, extension="wav", num_speakers=self.plan.num_speakers)
        outputs = naming.paths(path, Path())
        refuse_unwritable(path, outputs, overwrite=overwrite)
        prepare_folder(folder)
        remove_stale_temporaries(folder)
        spool = Spool(self.plan.num_speakers)
        try:
            recording = Recording(AudioReader(path), self.plan, spool)
            self._complete(recording)
            deliver(recording, outputs, OutputOptions(overwrite=overwrite))
        finally:
            spool.close()
        return list(outputs)

    def _complete(self, recording: Recording) -> None:
        for _, failure in self.process([recording]):
            if failure is not None:
                raise failure

    def process(
        self,
        recordings: Iterable[Recording],
        on_chunk: Callable[[Recording], None] = lambda recording: None,
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
                except BaseException:  # what is done is worth keeping, for a long recording's spool
                    for _ in self._accept(done, on_chunk):
                        pass
                    raise
                if found is None:
                    break
                done += found
                now = time.monotonic()
                if len(done) >= TOGETHER_CHUNKS or now - began >= TOGETHER_SECONDS:
                    yield from self._accept(done, on_chunk)
                    done, began = [], now
        yield from self._accept(done, on_chunk)

    def _run(self, batches: Iterator[list[_Item]]) -> Generator[list[_Done], None, None]:
        """Run batches, side by side where that pays; yield what they gave, in their order."""
        waiting: deque[Future[list[_Done]]] = deque()
        with Lanes(self._network, self._num_lanes) as lanes:
            while together := list(islice(batches, self._num_lanes)):
                if len(together) == 1:
                    while waiting:
                        yield waiting.popleft().result()
                    yield self._separated(together[0])  # here, where it has all cores
                    continue
                waiting.extend(lanes.start(self._separated, items) for items in together)
                while waiting and (len(waiting) > MOST_WAITING or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

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
        mixtures = [None if n is None else recording.mixture(n) for recording, n in items]
        sounding = [mixture is not None and bool(mixture.any()) for mixture in mixtures]
        given = [
            mixture if recording.input_gain == 1.0 else mixture * np.float32(recording.input_gain)
            for (recording, _), mixture, sounds in zip(items, mixtures, sounding, strict=True)
            if sounds and mixture is not None
        ]
        try:
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
        self, done: Iterable[_Done], on_chunk: Callable[[Recording], None]
    ) -> Iterator[tuple[Recording, SepcliError | None]]:
        """Give estimates to their recordings; yield those that are complete or failed."""
        for recording, mixture, estimates, failure in done:
            if failure is not None:
                yield recording, failure
                continue
            if recording.is_given_up:
                continue
            if mixture is not None:
                silent = (self.plan.num_speakers, len(mixture))
                recording.accept(
                    mixture, np.zeros(silent, np.float32) if estimates is None else estimates
                )
                on_chunk(recording)
                if recording.num_accepted % CHUNKS_TO_TIDY == 0:
                    return_freed_memory()
            if recording.is_complete:
                yield recording, None


def _plan(entry: ModelEntry, options: SeparationOptions, embed: Embed) -> RecordingPlan:
    chunk_seconds = options.chunk_seconds or entry.chunk_seconds
    overlap_seconds = options.overlap_seconds
    if overlap_seconds is None:
        overlap_seconds = min(entry.overlap_seconds, chunk_seconds / 2)
    if not math.isfinite(chunk_seconds):
        raise UsageError(f"not a length of a chunk: {chunk_seconds} s", "give --chunk 8")
    chunk = seconds_to_samples(chunk_seconds, entry.sample_rate)
    overlap = seconds_to_samples(overlap_seconds, entry.sample_rate)
    if overlap >= chunk:
        raise UsageError(
            f"overlap is not shorter than the chunk: {overlap_seconds:g} s",
            f"give an --overlap below {chunk_seconds:g}",
        )
    return RecordingPlan(
        sample_rate=entry.sample_rate,
        num_speakers=entry.speakers,
        chunk=chunk,
        overlap=overlap,
        level=options.level or entry.level,
        leakage=options.leakage,
        embed=embed,
    )


class _WaveformReader:
    """A waveform in memory, read like a file."""

    def __init__(self, waveform: Array | torch.Tensor, sample_rate: int) -> None:
        if isinstance(waveform, torch.Tensor):
            waveform = waveform.detach().float().cpu().numpy()
        samples = np.asarray(waveform, dtype=np.float32)
        is_whole = samples.ndim == 1 or (samples.ndim == 2 and len(samples) <= samples.shape[1])
        if not is_whole or samples.size == 0:
            raise AudioError(
                f"not a waveform: shape {list(samples.shape)}",
                "give [samples] or [channels, samples]",
            )
        if sample_rate < 1:
            raise AudioError(f"not a sample rate: {sample_rate} Hz", "give that of the waveform")
        self._samples = samples[:, np.newaxis] if samples.ndim == 1 else samples.T
        self.warnings: tuple[str, ...] = ()
        num_samples, num_channels = self._samples.shape
        self.info = AudioInfo(None, sample_rate, num_channels, num_samples, "ARRAY", "FLOAT")

    def blocks(self) -> Iterator[Array]:
        """Yield `[samples, channels]`; what is not finite becomes 0 and is told."""
        for start in range(0, len(self._samples), BLOCK_SAMPLES):
            block = self._samples[start : start + BLOCK_SAMPLES]
            if not np.isfinite(block).all():
                self.warnings = ("values that were not finite were set to 0",)
                block = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
            yield block

    def close(self) -> None:
        """Nothing is held."""
