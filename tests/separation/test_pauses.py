"""Pauses are not heard, and come back as silence in their places."""

import numpy as np
import pytest

from sepcli.audio import WaveformReader
from sepcli.separation.chunking import EnergyEnvelope
from sepcli.separation.pauses import Heard, leave_out_pauses
from sepcli.separation.recording import Recording
from sepcli.separation.scratch import Spool
from sepcli.separation.separator import SeparationOptions, Separator
from tests.doubles import RATE, Identity, entry, two_voices
from tests.separation.options import AS_SEPARATED

SPEECH = np.random.default_rng(4).uniform(-0.5, 0.5, 20 * RATE).astype(np.float32)


def with_pauses(*pauses: tuple[float, float], floor: float = 0.0) -> np.ndarray:
    signal = SPEECH.copy()
    for start, stop in pauses:
        signal[round(start * RATE) : round(stop * RATE)] *= floor
    return signal


def heard(signal: np.ndarray) -> Heard:
    envelope = EnergyEnvelope(RATE)
    envelope.add(signal)
    return leave_out_pauses(envelope.values, len(signal))


@pytest.mark.parametrize("floor", [0.0, 0.003])
def test_of_long_pauses_the_ends_are_heard(floor: float) -> None:
    found = heard(with_pauses((0.0, 2.0), (5.0, 5.5), (8.0, 9.0), (18.0, 20.0), floor=floor))
    np.testing.assert_allclose(found.starts / RATE, [1.8, 8.8], atol=1e-9)
    np.testing.assert_allclose(found.stops / RATE, [8.2, 18.2], atol=1e-9)
    assert found.num_samples == round((8.2 - 1.8 + 18.2 - 8.8) * RATE)


def test_noise_and_what_is_faint_but_all_there_is_are_heard() -> None:
    noise = with_pauses((5.0, 10.0), floor=0.02)  # 34 dB below
    for signal in (noise, SPEECH, 1e-12 * noise, 0 * SPEECH, SPEECH[:1], SPEECH[:0]):
        found = heard(signal)
        assert found.num_samples == found.total == len(signal)


@pytest.mark.parametrize("size", [1, 700, 5000, 10**6])
def test_what_is_heard_goes_back_to_its_place(size: int) -> None:
    signal = with_pauses((0.0, 1.0), (3.0, 3.7), (9.0, 14.0), (18.0, 20.0))[: 19 * RATE + 7]
    if size == 1:
        signal = signal[: 3 * RATE // 2]
    found = heard(signal)
    assert found.num_samples < len(signal)
    whole = found.read(lambda start, length: signal[start : start + length], 0, found.num_samples)
    blocks = (np.stack([whole, -whole])[:, n : n + size] for n in range(0, len(whole), size))
    spread = np.concatenate(list(found.spread(blocks, 2)), axis=1)
    np.testing.assert_array_equal(spread, [signal, -signal])
    for start in range(0, found.num_samples - 900, 7919):
        piece = found.read(lambda at, length: signal[at : at + length], start, 900)
        np.testing.assert_array_equal(piece, whole[start : start + 900])


def test_places_are_those_of_the_recording() -> None:
    found = heard(with_pauses((0.0, 2.0), (8.0, 9.0)))
    places = [
        found.in_recording(round(seconds * RATE)) / RATE for seconds in (0, 1, 6.4, 6.5, 17.6)
    ]
    np.testing.assert_allclose(places, [1.8, 2.8, 8.2, 8.9, 20.0], atol=1e-9)


class Counting(Identity):
    """Counts what it hears."""

    num_samples = 0

    def forward(self, mixture):  # type: ignore[no-untyped-def]
        self.num_samples += mixture.shape[-1]
        return super().forward(mixture)


@pytest.mark.parametrize("seconds", [0.4, 30.0])
def test_the_network_hears_speech_only(seconds: float) -> None:
    voices = two_voices(12.0).sum(axis=0)
    pause = np.zeros(round(seconds * RATE), np.float32)
    signal = np.concatenate([pause, voices[: 6 * RATE], pause, voices[6 * RATE :], pause])
    network = Counting((0.5, 0.5))
    separator = Separator(network, entry(level="as-is"), SeparationOptions(**AS_SEPARATED))
    separator.separate(voices, RATE)
    num_alone, network.num_samples = network.num_samples, 0
    recording = Recording(WaveformReader(signal, RATE), separator.pipeline.plan, Spool(2))
    assert [failure for _, failure in separator.pipeline.process([recording])] == [None]
    estimates = np.concatenate(list(recording.joined(recording.solve())), axis=1)
    np.testing.assert_allclose(estimates.sum(axis=0), signal, atol=1e-6)
    assert network.num_samples <= num_alone + 4 * RATE
