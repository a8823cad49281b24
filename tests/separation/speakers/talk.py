"""People who hum: each with a pitch of their own, so that a spectrum serves as voice embedding."""

from itertools import permutations

import numpy as np

from sepcli.separation.chunking import Chunk, plan_chunks

RATE = 1000  # Hz
PITCHES = (50.0, 125.0, 200.0, 275.0)  # Hz


def hum(speaker, num_samples, seed=0):
    """Return a voice, `[samples]`, whose amplitude and pitch wander."""
    rng = np.random.default_rng([seed, speaker])
    knots = rng.uniform(0.3, 1.0, num_samples // 50 + 2)
    amplitude = np.interp(np.arange(num_samples) / 50, np.arange(len(knots)), knots)
    wander = np.cumsum(rng.normal(0.0, 0.05, num_samples))
    phase = 2 * np.pi * PITCHES[speaker] * np.arange(num_samples) / RATE + wander
    return (amplitude * np.sin(phase)).astype(np.float32)


def embed(samples, sample_rate):
    """Return the share of power around each pitch, `[dims]`, of length one."""
    power = np.square(np.abs(np.fft.rfft(samples)))
    band = (np.fft.rfftfreq(len(samples), 1 / sample_rate) / 75.0).astype(int)
    voice = np.bincount(band, power, minlength=7)
    return (voice / np.linalg.norm(voice)).astype(np.float32)


def conversation(turns, seconds, num_speakers):
    """Return sources `[speakers, samples]`: `turns` lists who hums from when until when [s]."""
    sources = np.zeros((num_speakers, round(seconds * RATE)), np.float32)
    for speaker, start, stop in turns:
        first, last = round(start * RATE), round(stop * RATE)
        sources[speaker, first:last] = hum(speaker, last - first, seed=first)
    return sources


def separated(sources, chunk=4.0, overlap=1.0, seed=0, leakage=0.15):
    """Yield chunk, mixture, estimates and whose each is: leaking, levelled and ordered at random.

    The chunks of pauses are all yielded too.
    """
    rng = np.random.default_rng(seed)
    num_speakers, num_samples = sources.shape
    floor = 1e-2 * np.abs(sources).max()
    for each in plan_chunks(num_samples, round(chunk * RATE), round(overlap * RATE)):
        part = sources[:, each.start : each.stop]
        mix = np.full((num_speakers, num_speakers), leakage)
        np.fill_diagonal(mix, 1.0)
        whose = rng.permutation(num_speakers)
        noise = floor * rng.standard_normal(part.shape)
        scales = rng.uniform(0.5, 2.0, (num_speakers, 1))
        estimates = (scales * (mix[whose] @ part + noise)).astype(np.float32)
        yield each, part.sum(axis=0), estimates, whose


def misplaced(sources, items, orders):
    """Return the share of speech in the wrong file, files assigned as well as can be.

    Each chunk answers for the part after the chunk before.
    """
    wrong, total = [], np.count_nonzero(sources)
    for assignment in permutations(range(len(sources))):
        stop, count = 0, 0
        for (each, _, _, whose), order in zip(items, orders, strict=True):
            part = sources[:, stop : each.stop]
            stop = each.stop
            held = whose[order][list(assignment)]
            for speaker, holder in enumerate(held):
                count += np.count_nonzero(part[speaker]) if holder != speaker else 0
        wrong.append(count)
    return min(wrong) / max(total, 1)


__all__ = ["RATE", "Chunk", "conversation", "embed", "hum", "misplaced", "separated"]
