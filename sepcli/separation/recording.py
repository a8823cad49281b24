"""One recording on its way: spooled, cut into chunks, joined again; no network, no device."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import takewhile
from typing import Any

import numpy as np

from sepcli.audio import AudioInfo, resample_signals, resampled_length
from sepcli.audio.waiting import check_cancelled
from sepcli.separation.chunking import Chunk, overlap_add, plan_chunks
from sepcli.separation.pauses import leave_out_pauses
from sepcli.separation.plan import RecordingPlan
from sepcli.separation.scratch import Spool
from sepcli.separation.speakers import (
    MOST_PEOPLE,
    Embed,
    Scene,
    SpeakerOrder,
    SpeakerTracker,
    Timeline,
    TimelineBuilder,
    by_outputs,
    fit_levels,
    remove_leakage,
    seconds_to_tell_people,
    understand,
)
from sepcli.separation.spooling import Reader, mixture_without_rumble, spool_recording

Array = np.ndarray[Any, np.dtype[np.float32]]

FULL_SCALE = 1.0 - 2.0**-15  # the largest value 16-bit PCM can hold
QUIET_PEAK, LOUD_PEAK = 0.01, 1.0  # networks saw levels between these in training
USUAL_PEAK = 0.5
OVERSHOOT = 1.1  # of resampling
CLICK_PEAK = 2.0  # times the usual peak: what is beyond is a click, and cut
MOST_GAIN = 1e30  # what is quieter yet stays silence: numbers of 32 bits end at 1e38


class Recording:
    """One recording: its spooled mixture, its chunks, and the evidence on who is who.

    Args:
        reader: The open recording; closed when its mixture is spooled.
        plan: How it is cut.
        spool: Where it waits.
    """

    def __init__(self, reader: Reader, plan: RecordingPlan, spool: Spool) -> None:
        self.info: AudioInfo = reader.info
        self.plan = plan
        self.spool = spool
        with closing(reader):  # before room is asked for: a copy of it may take some
            self.seen = spool_recording(reader, plan, spool)
        self.input_gain = _input_gain(self.seen.heard_peak)
        self._heard = leave_out_pauses(self.seen.heard, spool.num_samples)
        self.chunks: tuple[Chunk, ...] = plan_chunks(
            self._heard.num_samples, plan.chunk, plan.overlap, self._heard.energy
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
        return self.seen.num_samples / self.info.sample_rate

    @property
    def is_complete(self) -> bool:
        """Whether every chunk has its estimates."""
        return self.num_accepted == len(self.chunks)

    def mixture(self, index: int) -> Array:
        """Return the mixture of chunk `index` as the network is to hear it, `[samples]`."""
        start = self.chunks[index].start
        mixture = self._heard.read(self.without_rumble, start, self.chunk_length)
        limit = np.float32(CLICK_PEAK * self.seen.heard_peak)
        return np.clip(mixture, -limit, limit)

    def without_rumble(self, start: int, length: int) -> Array:
        """Return a part of the mixture, without hum, rumble and DC if it has much of them."""
        if not self.seen.has_rumble:
            return self.spool.read_mixture(start, length)
        return mixture_without_rumble(self.spool, start, length, self.plan.sample_rate)

    def seconds_before(self, index: int) -> float:
        """Return how much of the recording is separated before chunk `index` is [s]."""
        if index in (0, len(self.chunks)):
            return self.seconds if index else 0.0
        return self._heard.in_recording(self.chunks[index - 1].stop) / self.plan.sample_rate

    def resume(self, keep_multiple_of: int) -> None:
        """Take over estimates that an interrupted run left.

        Args:
            keep_multiple_of: Chunks that go together, so that those left go with the same ones.
        """
        if not self.chunks:
            return
        found = min(self.spool.finished_chunks(self.chunk_length), len(self.chunks))
        sound = (self.spool.is_sound(index, self.chunk_length) for index in range(found))
        found = sum(takewhile(bool, sound))
        kept = found if found == len(self.chunks) else found - found % keep_multiple_of
        self.spool.keep_chunks(kept, self.chunk_length)
        for index in range(kept):
            check_cancelled()
            self._hear(self.mixture(index), self.spool.read_estimates(index, self.chunk_length))

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

        Raises:
            OutputError: The disk does not take them.
            ModelError: There are too many speakers to keep in order over several chunks.
        """
        estimates = raw_estimates
        if self.plan.level == "fit":
            estimates *= fit_levels(self.at_usual_level(mixture), estimates)[:, np.newaxis]
        if self.plan.leakage == "remove":
            estimates = remove_leakage(estimates, self.plan.sample_rate)
        if self.input_gain != 1.0:
            estimates = estimates / np.float32(self.input_gain)
        estimates = estimates.astype(np.float32, copy=False)
        self.spool.append_estimates(estimates)
        self._hear(mixture, estimates)

    def at_usual_level(self, signals: Array) -> Array:
        """Return signals as loud as networks know them: what listens has thresholds as well."""
        return signals if self.input_gain == 1.0 else signals * np.float32(self.input_gain)

    def _hear(self, mixture: Array, estimates: Array) -> None:
        """Take the evidence of the next chunk; the same from the network and from the spool."""
        self._tracker.add(
            self.chunks[self.num_accepted],
            self.at_usual_level(mixture),
            self.at_usual_level(estimates),
            is_levelled=self.plan.is_levelled,
        )
        self._estimates_peak = max(
            self._estimates_peak, float(estimates.max()), -float(estimates.min())
        )
        self.num_accepted += 1

    def solve(self) -> SpeakerOrder:
        """Return who is who in every chunk, from the evidence of all of them."""
        order = self._tracker.solve()
        at = self._heard.in_recording
        places = (
            replace(each, start=at(each.start), stop=at(each.stop)) for each in order.uncertain
        )
        return replace(order, uncertain=tuple(places))

    def scene(self, order: SpeakerOrder, *, with_turns: bool = True) -> Scene:
        """Return how many people there are and who speaks when.

        Args:
            order: Who is who in every chunk.
            with_turns: Whether anybody asks who speaks when; if not, nobody listens to a recording
                that is too short for voices, or whose files hold the estimates whoever speaks.
        """
        plan = self.plan
        is_asked = with_turns or plan.known is not None
        if not self.chunks or (plan.holds_outputs and not is_asked):
            return _untold(plan.num_speakers)
        num_people = plan.people if isinstance(plan.people, int) else None
        num_outputs = plan.num_speakers
        if plan.people == "auto" and plan.counts_speakers:
            num_people = num_outputs = max(1, order.num_voices)  # the other outputs are silent
        most = MOST_PEOPLE if plan.people == "auto" else plan.num_speakers
        # voices change nothing in a shorter recording
        least = seconds_to_tell_people(num_people, most, num_outputs)
        embed = None if plan.known is None and self.seconds < least else plan.embed
        if embed is None and not with_turns:
            return _untold(num_outputs)
        scene = understand(self._timeline(order, num_outputs, embed), num_people, most)
        if plan.is_as_separated(scene.num_people):
            scene = by_outputs(scene, num_outputs)
        end = self.seconds  # the last frame goes beyond it
        turns = (replace(turn, stop_seconds=min(turn.stop_seconds, end)) for turn in scene.turns)
        return replace(scene, turns=tuple(turns))

    def _timeline(self, order: SpeakerOrder, num_outputs: int, embed: Embed | None) -> Timeline:
        """Return what is heard of the mixture and the first so many outputs."""
        self.spool.voices.truncate(0)
        heard = TimelineBuilder(num_outputs, self.plan.sample_rate, embed, self.spool.voices)
        position = 0
        for block in self.joined(order):
            mixture, estimates = self.without_rumble(position, block.shape[1]), block[:num_outputs]
            position += block.shape[1]
            heard.add(self.at_usual_level(mixture), self.at_usual_level(estimates))
        return heard.finish()

    def aligned(self, order: SpeakerOrder) -> Iterator[Array]:
        """Yield the recording, its copy at the network's rate, and the estimates, all at its rate.

        The copy is the recording itself where the plan takes nothing of that at its own rate. Both
        have hum, rumble and DC, which the estimates have not.

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
                yield np.concatenate([mixture[np.newaxis], block])

        position = 0
        wanted = self.seen.num_samples
        for block in resample_signals(heard(), network_rate, rate, num_signals, wanted):
            original = block[0]
            if self.plan.keeps_own_rate(rate):
                original = self.spool.original.read(position, block.shape[1])
            position += block.shape[1]
            yield np.concatenate([original[np.newaxis], block])

    def joined(self, order: SpeakerOrder) -> Iterator[Array]:
        """Yield the estimates of the whole recording block by block, `[speakers, samples]`."""

        def read(index: int) -> Array:
            check_cancelled()
            estimates = self.spool.read_estimates(index, self.chunk_length)
            places = order.orders[index].tolist()
            return estimates if places == sorted(places) else estimates[places]

        heard = overlap_add(self.chunks, read, self.plan.overlap, self._heard.energy)
        return self._heard.spread(heard, self.plan.num_speakers)

    def resampled(self, order: SpeakerOrder, sample_rate: int) -> Iterator[Array]:
        """Yield what `joined` does at another rate, as long as the recording is at that rate."""
        wanted = resampled_length(self.seen.num_samples, self.info.sample_rate, sample_rate)
        rates = self.plan.sample_rate, sample_rate
        return resample_signals(self.joined(order), *rates, self.plan.num_speakers, wanted)

    def may_clip(self, sample_rate: int, *, is_composed: bool) -> bool:
        """Return whether the files of one person each might go beyond full scale at some rate.

        Cross-fades stay below the louder of what they join and resampling overshoots by a few
        percent at most, so the peaks of all that is joined tell whether the exact one, which costs
        joining and resampling twice, is needed at all.

        Args:
            sample_rate: Of the files [Hz].
            is_composed: Whether they hold the recording or its upper band besides estimates.
        """
        is_resampled = sample_rate != self.plan.sample_rate
        if is_composed and (is_resampled or self.info.sample_rate != self.plan.sample_rate):
            return True  # its peak at its own rate is not known
        if is_composed and self.plan.outside_overlap == "separated":
            return True  # nor is that of all estimates together
        peak = max(self._estimates_peak, self.seen.peak if is_composed else 0.0)
        return peak > (FULL_SCALE / 2 if is_resampled else FULL_SCALE)

    @property
    def loudest_without_clicks(self) -> float:
        """Nobody's waveform goes beyond this, but for clicks of the recording."""
        return OVERSHOOT * (self.seen.usual_peak + self._estimates_peak)


def _untold(num_outputs: int) -> Scene:
    """Return the scene in which each output is a person, and of whom nothing is known."""
    return Scene(num_outputs, None, (), np.zeros((num_outputs, 0), np.float32))


def _input_gain(peak: float) -> float:
    """Return the gain before the network: 1, unless the recording is far too quiet or loud.

    The published networks are fed recordings as they are; ours are too, within the levels speech
    is recorded at. Outside them epsilons and number formats would change the answer.
    """
    if peak == 0.0 or QUIET_PEAK <= peak <= LOUD_PEAK:
        return 1.0
    return min(USUAL_PEAK / peak, MOST_GAIN)
