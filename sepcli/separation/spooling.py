"""A recording on its way in: mixed down, resampled, put into its spool, and measured on the way."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sepcli.audio import AudioReader, Downmixer, WaveformReader, resample_blocks
from sepcli.audio.waiting import check_cancelled
from sepcli.separation.chunking import Energy, EnergyEnvelope
from sepcli.separation.metering import CallMeter, PeakMeter, RumbleMeter, without_rumble
from sepcli.separation.plan import RecordingPlan
from sepcli.separation.scratch import Spool

Array = np.ndarray[Any, np.dtype[np.float32]]
Reader = AudioReader | WaveformReader

STEP_SAMPLES = 1 << 16  # measured at once
ROUNDING = 1e-5  # times the peak: less than this may be rounding that a filter left


@dataclass(frozen=True)
class Spooled:
    """What is known of a recording that lies in its spool.

    Attributes:
        num_samples: Its length at its own rate.
        peak: The largest magnitude of the mixture at the network's rate.
        usual_peak: The same at the recording's own rate, without a few clicks.
        heard: How loud it is along time, without hum, rumble and DC, which can hide all speech.
        heard_peak: The largest magnitude of that, without a few clicks.
        is_silent: Whether there is nothing to be heard in it, but perhaps DC.
        has_rumble: Whether hum, rumble or DC is taken out of what the network hears.
        has_turned_channels: Whether channels opposite in phase were turned over.
        is_call: Whether each of two channels holds a speaker of its own.
        warnings: What is wrong with it, a line each.
    """

    num_samples: int
    peak: float
    usual_peak: float
    heard: Energy
    heard_peak: float
    is_silent: bool
    has_rumble: bool
    has_turned_channels: bool
    is_call: bool
    warnings: tuple[str, ...]


def spool_recording(reader: Reader, plan: RecordingPlan, spool: Spool) -> Spooled:
    """Put a recording into its spool, mixed down; return what was seen of it.

    Args:
        reader: The open recording.
        plan: Says at which rates it is wanted.
        spool: Where it goes.
    """
    info = reader.info
    mixer = Downmixer(info.num_channels, info.sample_rate)
    calls = CallMeter(info.sample_rate) if info.num_channels == 2 else None
    keeps_own = plan.keeps_own_rate(info.sample_rate)
    own = PeakMeter(info.sample_rate)
    num_samples = 0

    def mono() -> Iterator[Array]:
        nonlocal num_samples
        for block in reader.blocks():
            check_cancelled()
            num_samples += len(block)
            if calls is not None:
                calls.add(block)
            mixed = mixer.mix(block)
            own.add(mixed)
            if keeps_own:
                spool.original.append(mixed)
            yield mixed

    rumble, meter = RumbleMeter(plan.sample_rate), PeakMeter(plan.sample_rate)
    envelope = EnergyEnvelope(plan.sample_rate)
    for block in resample_blocks(mono(), info.sample_rate, plan.sample_rate):
        spool.append_mixture(block)
        for each in (rumble, meter, envelope):
            each.add(block)
    peak, heard_peak = meter.peak, meter.usual_peak
    if rumble.has_rumble:
        meter, envelope = _measured_without_rumble(spool, plan)
        if meter.usual_peak > ROUNDING * peak:  # else there is nothing but rumble
            heard_peak = meter.usual_peak
    return Spooled(
        num_samples=num_samples,
        peak=peak,
        usual_peak=own.usual_peak,
        heard=envelope.values,
        heard_peak=heard_peak,
        is_silent=own.is_silent,
        has_rumble=rumble.has_rumble,
        has_turned_channels=mixer.has_turned,
        is_call=calls is not None and calls.is_call,
        warnings=reader.warnings,
    )


def mixture_without_rumble(spool: Spool, start: int, length: int, sample_rate: int) -> Array:
    """Return a part of the mixture in a spool without what lies below speech, `[samples]`."""
    return without_rumble(spool.read_mixture, start, length, spool.num_samples, sample_rate)


def _measured_without_rumble(spool: Spool, plan: RecordingPlan) -> tuple[PeakMeter, EnergyEnvelope]:
    """Return how loud the mixture in a spool gets, and is along time, without rumble."""
    meter, envelope = PeakMeter(plan.sample_rate), EnergyEnvelope(plan.sample_rate)
    for start in range(0, spool.num_samples, STEP_SAMPLES):
        check_cancelled()
        length = min(STEP_SAMPLES, spool.num_samples - start)
        block = mixture_without_rumble(spool, start, length, plan.sample_rate)
        meter.add(block)
        envelope.add(block)
    return meter, envelope
