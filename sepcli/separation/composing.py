"""The waveform of each person: the recording itself where one speaks alone, estimates in overlaps.

    person 0    ──recording──╲╱─estimate─╲
    person 1                 ╱──estimate──╲╱──recording───
                one speaks   both speak    the other speaks

Weights are given every 10 ms and go from one to the next in a straight line, so borders are
cross-fades of 10 ms; between them a weight is exactly 0 or 1, and so is what is made of it. Where
nobody speaks, all are silent: a room tone that comes and goes with overlaps is heard as a fault,
and silence is what labels and transcripts expect there.

Where the recording itself is not wanted, who speaks alone gets all estimates together: a voice that
the network leaves in several of them is whole then.

Networks hear up to half their rate. What a recording holds above, the recording less its own copy
at the network's rate, is shared out among those who overlap as the top of the band below is.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sepcli.audio import resample_signals
from sepcli.separation.casting import Cast
from sepcli.separation.plan import RecordingPlan
from sepcli.separation.recording import Recording
from sepcli.separation.speakers import Scene, SpeakerOrder, Stretch
from sepcli.separation.speakers.timeline import FRAMES_A_SECOND

Array = np.ndarray[Any, np.dtype[np.float32]]

SMALLEST_POWER = 1e-12


def compose(
    recording: Recording, order: SpeakerOrder, scene: Scene, cast: Cast, sample_rate: int
) -> Iterator[Array]:
    """Yield the waveforms of all files block by block, `[files, samples]`.

    Args:
        recording: Complete.
        order: Who is who in every chunk.
        scene: Who speaks when.
        cast: Who is in which file.
        sample_rate: Of what is yielded [Hz].
    """
    if are_outputs(recording.plan, scene):
        blocks = recording.resampled(order, sample_rate)
    else:
        composed, own_rate = _composed(recording, order, scene), recording.info.sample_rate
        blocks = resample_signals(composed, own_rate, sample_rate, scene.num_people)
    for block in blocks:
        yield cast.in_files(block)


def are_outputs(plan: RecordingPlan, scene: Scene) -> bool:
    """Return whether people are the outputs of the separator, before they are put in files."""
    return scene.stretches is None or plan.is_as_separated(scene.num_people)


def holds_recording(plan: RecordingPlan, scene: Scene) -> bool:
    """Return whether `compose` puts the recording itself where one speaks alone."""
    return plan.outside_overlap == "original" and not are_outputs(plan, scene)


def _composed(recording: Recording, order: SpeakerOrder, scene: Scene) -> Iterator[Array]:
    """Yield the waveforms of all people at the recording's own rate, second by second."""
    assert scene.stretches is not None
    plan, rate = recording.plan, recording.info.sample_rate
    is_whole = plan.bandwidth == "full" and rate > plan.sample_rate
    share = np.full(plan.num_speakers, 1.0 / plan.num_speakers)
    last = max(0, -(-recording.seen.num_samples * FRAMES_A_SECOND // rate) - 1)
    for number, heard in enumerate(_seconds(recording.aligned(order), rate)):
        original, mixture, estimates = heard[0], heard[1], heard[2:]
        if is_whole:
            above = original - mixture
            shares = _shares(estimates, rate, share)
            estimates = estimates + _along(shares, estimates.shape[1], rate, 0.0) * above
            share = shares[:, -1]
        frames = np.arange(number * FRAMES_A_SECOND - 1, (number + 1) * FRAMES_A_SECOND + 2)
        frames = np.clip(frames, 0, last)  # the recording's own ends are no borders
        weights = _weights(
            scene.stretches,
            range(frames[0], frames[-1] + 1),
            scene.num_people,
            plan.num_speakers,
            plan.outside_overlap,
        )
        yield _weighted(weights[:, :, frames - frames[0]], original, estimates, rate)


def _seconds(blocks: Iterator[Array], rate: int) -> Iterator[Array]:
    """Yield the same samples in blocks of a second, `[signals, samples]`; the last is shorter."""
    held: list[Array] = []
    length = 0
    for block in blocks:
        held.append(block)
        length += block.shape[1]
        if length < rate:
            continue
        joined = np.concatenate(held, axis=1)
        whole = length // rate * rate
        for start in range(0, whole, rate):
            yield joined[:, start : start + rate]
        held, length = [joined[:, whole:]], length - whole
    if length:
        yield np.concatenate(held, axis=1)


def _shares(estimates: Array, rate: int, before: Array) -> Array:
    """Return the share of each estimate at the ends of frames, `[outputs, 1 + frames]`.

    Differences of neighbouring samples stand for the top of the band: they rise with frequency.

    Args:
        estimates: Of a second, `[outputs, samples]`.
        rate: Their rate [Hz].
        before: Shares at the end of the second before.
    """
    steps = np.square(np.diff(estimates, axis=1, prepend=estimates[:, :1]))
    edges = (np.arange(FRAMES_A_SECOND) * rate) // FRAMES_A_SECOND
    power = np.add.reduceat(steps, edges[edges < steps.shape[1]], axis=1) + SMALLEST_POWER
    return np.concatenate([before[:, np.newaxis], power / power.sum(axis=0)], axis=1)


def _along(values: Array, num_samples: int, rate: int, first: float) -> Array:
    """Return values at every sample, in straight lines from one frame to the next.

    Args:
        values: `[rows, frames]`.
        num_samples: How many samples there are.
        rate: Their rate [Hz].
        first: Where the first value stands, in frames from the first sample.
    """
    places = np.arange(num_samples) * (FRAMES_A_SECOND / rate)
    frames = np.arange(values.shape[1]) + first
    return np.stack([np.interp(places, frames, row) for row in values]).astype(np.float32)


def _weights(
    stretches: Sequence[Stretch], frames: range, num_people: int, num_outputs: int, outside: str
) -> Array:
    """Return weights of recording and outputs in each person, `[people, 1 + outputs, frames]`."""
    weights = np.zeros((num_people, 1 + num_outputs, len(frames)), np.float32)
    nearest = bisect_right(stretches, frames.start, key=lambda each: each.start) - 1
    for stretch in stretches[max(0, nearest) :]:
        if stretch.start >= frames.stop:
            break
        inside = slice(max(stretch.start - frames.start, 0), max(stretch.stop - frames.start, 0))
        is_alone = len(stretch.outputs) == 1
        for person, output in stretch.outputs:
            if not is_alone:
                weights[person, 1 + output, inside] = 1.0
            elif outside == "original":
                weights[person, 0, inside] = 1.0
            else:
                weights[person, 1:, inside] = 1.0
    return weights


def _weighted(weights: Array, original: Array, estimates: Array, rate: int) -> Array:
    """Return the waveforms of people, `[people, samples]`.

    Args:
        weights: From the frame before the first to the one after the last.
        original: The recording, `[samples]`.
        estimates: `[outputs, samples]`.
        rate: Their rate [Hz].
    """
    total = np.zeros((len(weights), len(original)), np.float32)
    for person, rows in enumerate(weights):
        for row, signal in zip(rows, (original, *estimates), strict=True):
            if not row.any():
                continue
            if row.all():
                total[person] += signal
            else:  # a frame's weight holds at its middle
                total[person] += _along(row[np.newaxis], len(signal), rate, -0.5)[0] * signal
    return total
