"""One recording on its way: spooled, cut into chunks, joined again; no network, no device."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from sepcli.audio import AudioInfo, Downmixer, resample_blocks
from sepcli.audio.waiting import check_cancelled
from sepcli.separation.chunking import Chunk, EnergyEnvelope, overlap_add, plan_chunks
from sepcli.separation.metering import CallMeter, Meter, without_rumble
from sepcli.separation.scratch import Spool
from sepcli.separation.speakers import (
    MOST_PEOPLE,
    Embed,
    Scene,
    SpeakerOrder,
    SpeakerTracker,
    TimelineBuilder,
    fit_levels,
    remove_leakage,
    understand,
)

Array = np.ndarray[Any, np.dtype[np.float32]]
Level = Literal["fit", "as-is"]
Leakage = Literal["keep", "remove"]
OutsideOverlap = Literal["original", "separated"]
Bandwidth = Literal["full", "model"]

FULL_SCALE = 1.0 - 2.0**-15  # the largest value 16-bit PCM can hold
QUIET_PEAK, LOUD_PEAK = 0.01, 1.0  # networks saw levels between these in training
USUAL_PEAK = 0.5


class Reader(Protocol):
    """What a recording is read from, once: a file, or a waveform in memory."""

    info: AudioInfo

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know, complete after reading."""

    def blocks(self) -> Iterator[Array]:
        """Yield `[samples, channels]`, finite values."""

    def close(self) -> None:
        """Give back what it holds."""


@dataclass(frozen=True, kw_only=True)
class RecordingPlan:
    """How recordings are cut and joined for one model; samples are at the network's rate.

    Attributes:
        sample_rate: The network's rate [Hz].
        num_speakers: Estimates per chunk.
        chunk: Length of a chunk.
        overlap: Overlap of neighbouring chunks.
        level: `"fit"`: gains that best explain the mixture; `"as-is"`: the network's own.
        leakage: `"remove"` takes faint copies of who speaks out of who is silent.
        embed: Voice embedding of a waveform at a rate; None orders speakers without voices.
        people: How many people there are; `"auto"` counts them; None: as many as estimates, or
            fewer.
        outside_overlap: What is in a file where its speaker talks alone: the `"original"`
            recording, or what was `"separated"`.
        bandwidth: `"full"` gives overlaps what is above the network's band too; `"model"` not.
    """

    sample_rate: int
    num_speakers: int
    chunk: int
    overlap: int
    level: Level
    leakage: Leakage = "keep"
    embed: Embed | None = None
    people: int | Literal["auto"] | None = None
    outside_overlap: OutsideOverlap = "original"
    bandwidth: Bandwidth = "full"

    def num_files(self, num_people: int | None = None) -> int:
        """Return how many files there are where so many people were found; None: at most."""
        if self.people == "auto":
            return MOST_PEOPLE if num_people is None else max(1, num_people)
        return self.people or self.num_speakers

    @property
    def num_certain_files(self) -> int:
        """How many files there are at least, whoever is found."""
        return self.num_files(0)

    def is_as_separated(self, num_people: int) -> bool:
        """Return whether files are the estimates as they are, where so many people were found."""
        return (
            self.outside_overlap == "separated"
            and self.bandwidth == "model"
            and self.num_files(num_people) == self.num_speakers
        )


class Recording:
    """One recording: its spooled mixture, its chunks, and the evidence on who is who.

    Args:
        reader: The open recording; closed when its mixture is spooled.
        plan: How it is cut.
        spool: Where it waits.
    """

    def __init__(
        self,
        reader: Reader,
        plan: RecordingPlan,
        spool: Spool,
    ) -> None:
        self.info: AudioInfo = reader.info
        self.plan = plan
        self.spool = spool
        self._envelope = EnergyEnvelope(plan.sample_rate)
        self._meter = Meter(plan.sample_rate)
        # an unnamed file, which ends with this object: a resumed run reads the recording again
        self._original = spool
        if reader.info.sample_rate != plan.sample_rate:
            self._original = Spool(1)
        self.warnings: tuple[str, ...] = ()
        self.num_input_samples = 0
        self.has_turned_channels = self.is_call = False
        try:
            self._read(reader)
        finally:
            reader.close()
        self.input_gain = _input_gain(self.usual_peak)
        self.chunks: tuple[Chunk, ...] = plan_chunks(
            spool.num_samples, plan.chunk, plan.overlap, self._envelope.values
        )
        self.chunk_length = self.chunks[0].length if self.chunks else 0
        # A single chunk needs no voices: there is nothing to put in order.
        embed = plan.embed if len(self.chunks) > 1 else None
        self._tracker = SpeakerTracker(plan.num_speakers, plan.sample_rate, embed=embed)
        self.num_accepted = 0
        self._estimates_peak = 0.0
        self.is_given_up = False
        self._giving_up = threading.Lock()
        if self.chunks:
            spool.require_space(len(self.chunks), self.chunk_length)

    @property
    def seconds(self) -> float:
        """Length of the recording, or of the part of it that is wanted [s]."""
        return self.num_input_samples / self.info.sample_rate

    @property
    def peak(self) -> float:
        """The largest magnitude of the mixture."""
        return self._meter.peak

    @property
    def usual_peak(self) -> float:
        """The largest magnitude of the mixture, without that of a few clicks."""
        return self._meter.usual_peak

    @property
    def has_rumble(self) -> bool:
        """Whether hum, rumble or DC is taken out of what the network hears."""
        return self._meter.has_rumble

    @property
    def is_complete(self) -> bool:
        """Whether every chunk has its estimates."""
        return self.num_accepted == len(self.chunks)

    def mixture(self, index: int) -> Array:
        """Return the mixture of chunk `index` as the network is to hear it, `[samples]`."""
        chunk, spool = self.chunks[index], self.spool
        if self.has_rumble:
            mixture = without_rumble(
                spool.read_mixture,
                chunk.start,
                chunk.length,
                spool.num_samples,
                self.plan.sample_rate,
            )
        else:
            mixture = spool.read_mixture(chunk.start, chunk.length)
        if self.input_gain > 1.0:  # a click among what was far too quiet
            limit = np.float32(LOUD_PEAK / self.input_gain)
            mixture = np.clip(mixture, -limit, limit)
        return mixture

    def resume(self, keep_multiple_of: int = 1) -> int:
        """Take over estimates that an interrupted run left; return for how many chunks.

        Args:
            keep_multiple_of: Chunks that go together, so that those left go with the same ones.
        """
        if not self.chunks:
            return 0
        found = min(self.spool.finished_chunks(self.chunk_length), len(self.chunks))
        kept = found if found == len(self.chunks) else found - found % keep_multiple_of
        self.spool.keep_chunks(kept, self.chunk_length)
        for index in range(kept):
            check_cancelled()
            self._hear(self.mixture(index), self.spool.read_estimates(index, self.chunk_length))
        return kept

    def give_up(self) -> bool:
        """Note that a chunk failed; return whether it is the first, of those side by side."""
        with self._giving_up:
            is_first, self.is_given_up = not self.is_given_up, True
        return is_first

    def accept(self, mixture: Array, raw_estimates: Array) -> None:
        """Take the network's estimates of the next chunk, `[speakers, samples]`.

        Args:
            mixture: What the network was given, before `input_gain`.
            raw_estimates: What it gave; the recording's own from now on.
        """
        estimates = raw_estimates
        if self.input_gain != 1.0:
            estimates = estimates / np.float32(self.input_gain)
        if self.plan.level == "fit":
            estimates *= fit_levels(mixture, estimates)[:, np.newaxis]
        if self.plan.leakage == "remove":
            estimates = remove_leakage(estimates, self.plan.sample_rate)
        estimates = estimates.astype(np.float32, copy=False)
        self.spool.append_estimates(estimates)
        self._hear(mixture, estimates)

    def _hear(self, mixture: Array, estimates: Array) -> None:
        """Take the evidence of the next chunk; the same from the network and from the spool."""
        self._tracker.add(
            self.chunks[self.num_accepted],
            mixture,
            estimates,
            is_levelled=self.plan.level == "fit",
        )
        self._estimates_peak = max(
            self._estimates_peak, float(estimates.max()), -float(estimates.min())
        )
        self.num_accepted += 1

    def solve(self) -> SpeakerOrder:
        """Return who is who in every chunk, from the evidence of all of them."""
        return self._tracker.solve()

    def scene(self, order: SpeakerOrder) -> Scene:
        """Return how many people there are and who speaks when."""
        plan = self.plan
        if plan.embed is None or not self.chunks:
            return Scene(plan.num_speakers, None, (), np.zeros((plan.num_speakers, 0), np.float32))
        heard = TimelineBuilder(plan.num_speakers, plan.sample_rate, plan.embed)
        position = 0
        for block in self.joined(order):
            heard.add(self.spool.read_mixture(position, block.shape[1]), block)
            position += block.shape[1]
        known = plan.people if isinstance(plan.people, int) else None
        most = MOST_PEOPLE if plan.people == "auto" else plan.num_speakers
        return understand(heard.finish(), known, most)

    def aligned(self, order: SpeakerOrder) -> Iterator[Array]:
        """Yield the recording, its copy at the network's rate, and the estimates, all at its rate.

        Yields:
            `[2 + speakers, samples]`; one after the other they have the recording's length.
        """
        rate, network_rate = self.info.sample_rate, self.plan.sample_rate
        num_signals = 1 + self.plan.num_speakers

        def heard() -> Iterator[Array]:
            position = 0
            for block in self.joined(order):
                mixture = self.spool.read_mixture(position, block.shape[1])
                position += block.shape[1]
                yield np.ascontiguousarray(np.concatenate([mixture[np.newaxis], block]).T)

        position = 0
        wanted = self.num_input_samples
        for block in resample_blocks(heard(), network_rate, rate, num_signals, wanted):
            original = self._original.read_mixture(position, len(block))
            position += len(block)
            yield np.concatenate([original[np.newaxis], block.T])

    def joined(self, order: SpeakerOrder) -> Iterator[Array]:
        """Yield the estimates of the whole recording block by block, `[speakers, samples]`."""
        if not self.chunks:
            return

        def read(index: int) -> Array:
            check_cancelled()
            estimates = self.spool.read_estimates(index, self.chunk_length)
            places = order.orders[index].tolist()
            return estimates if places == sorted(places) else estimates[places]

        yield from overlap_add(self.chunks, read, self.plan.overlap, self._envelope.values)

    def resampled(self, order: SpeakerOrder, sample_rate: int) -> Iterator[Array]:
        """Yield what `joined` does at another rate, with exactly the recording's length."""
        if sample_rate == self.plan.sample_rate == self.info.sample_rate:
            yield from self.joined(order)
            return
        wanted = self.num_input_samples if sample_rate == self.info.sample_rate else None
        blocks = (np.ascontiguousarray(block.T) for block in self.joined(order))
        for block in resample_blocks(
            blocks, self.plan.sample_rate, sample_rate, self.plan.num_speakers, wanted
        ):
            yield block.T

    def may_clip(self, sample_rate: int) -> bool:
        """Return whether estimates might go beyond full scale at some rate.

        Cross-fades stay below the louder of two chunks and resampling overshoots by a few percent
        at most, so the peak of all chunks tells whether the exact one, which costs joining and
        resampling twice, is needed at all.
        """
        is_resampled = sample_rate != self.plan.sample_rate
        return self._estimates_peak > (FULL_SCALE / 2 if is_resampled else FULL_SCALE)

    def _read(self, reader: Reader) -> None:
        mixer = Downmixer(self.info.num_channels)
        calls = CallMeter(self.info.sample_rate) if self.info.num_channels == 2 else None

        def mono() -> Iterator[Array]:
            for block in reader.blocks():
                check_cancelled()
                self.num_input_samples += len(block)
                if calls is not None:
                    calls.add(block)
                mixed = mixer.mix(block)
                if self._original is not self.spool:
                    self._original.append_mixture(mixed)
                yield mixed

        rate = self.plan.sample_rate
        unheard: list[Array] = []  # one chunk has no borders, and needs no envelope
        for block in resample_blocks(mono(), self.info.sample_rate, rate):
            self._meter.add(block)
            self.spool.append_mixture(block)
            unheard.append(block)
            if self.spool.num_samples > self.plan.chunk:
                for each in unheard:
                    self._envelope.add(each)
                unheard.clear()
        self.warnings = reader.warnings
        self.has_turned_channels = mixer.has_turned
        self.is_call = calls is not None and calls.is_call


def _input_gain(peak: float) -> float:
    """Return the gain before the network: 1, unless the recording is far too quiet or loud.

    The published networks are fed recordings as they are; ours are too, within the levels speech
    is recorded at. Outside them epsilons and number formats would change the answer.
    """
    if peak == 0.0 or QUIET_PEAK <= peak <= LOUD_PEAK:
        return 1.0
    return USUAL_PEAK / peak
