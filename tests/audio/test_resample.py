import itertools
import math

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from sepcli.audio import resample
from sepcli.audio.resample import resample_blocks, resampled_length

RATES = st.sampled_from([8000, 11025, 16000, 22050, 44100, 44101, 48000, 7919])
LENGTHS = st.integers(0, 3000)


def noise(num_samples: int, num_channels: int = 1) -> np.ndarray:
    generator = np.random.default_rng(num_samples)
    return generator.uniform(-1, 1, (num_samples, num_channels)).astype(np.float32)


def split(signal: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    borders = [0, *sorted(min(cut, len(signal)) for cut in cuts), len(signal)]
    return [signal[a:b] for a, b in itertools.pairwise(borders)]


def resampled(blocks: list[np.ndarray], *how: int, **length: int) -> np.ndarray:
    return np.concatenate([blocks[0][:0], *resample_blocks(blocks, *how, **length)])


def reference(signal: np.ndarray, in_rate: int, out_rate: int) -> np.ndarray:
    """One call of soxr over the signal and enough silence for the rounded-up length."""
    silence = np.zeros((in_rate // out_rate + 2, signal.shape[1]), np.float32)
    whole = soxr.resample(np.concatenate([signal, silence]), in_rate, out_rate, quality="HQ")
    return whole[: math.ceil(len(signal) * out_rate / in_rate)]


@pytest.mark.parametrize(
    ("num_samples", "in_rate", "out_rate", "expected"),
    [
        (0, 44100, 8000, 0),
        (1, 44100, 8000, 1),
        (44100, 44100, 8000, 8000),
        (44101, 44100, 8000, 8001),
        (3, 8000, 16000, 6),
        (5, 16000, 8000, 3),
        (7, 16000, 16000, 7),
        (10**12, 44100, 48000, -(-(10**12) * 480 // 441)),
    ],
)
def test_length_is_rounded_up(num_samples, in_rate, out_rate, expected):
    assert resampled_length(num_samples, in_rate, out_rate) == expected


@given(st.integers(0, 10**9), st.integers(1, 768_000), st.integers(1, 768_000))
def test_there_and_back_never_lacks_a_sample(num_samples, in_rate, out_rate):
    there = resampled_length(num_samples, in_rate, out_rate)
    assert resampled_length(there, out_rate, in_rate) >= num_samples
    assert (there == 0) == (num_samples == 0)


@settings(deadline=None, max_examples=60)
@given(LENGTHS, RATES, RATES, st.lists(st.integers(0, 3000), max_size=4), st.integers(1, 3))
def test_blocks_give_what_one_call_gives(num_samples, in_rate, out_rate, cuts, num_channels):
    signal = noise(num_samples, num_channels)
    got = resampled(split(signal, cuts), in_rate, out_rate, num_channels)
    assert got.dtype == np.float32
    assert got.shape == (resampled_length(num_samples, in_rate, out_rate), num_channels)
    if in_rate == out_rate:
        assert np.array_equal(got, signal)
    elif num_samples:
        # the same filter in another block structure: float32 rounding of sums
        assert np.abs(got - reference(signal, in_rate, out_rate)).max() < 2e-5


@settings(deadline=None, max_examples=40)
@given(LENGTHS, RATES, RATES)
def test_round_trip_has_exactly_the_length(num_samples, in_rate, out_rate):
    signal = noise(num_samples)[:, 0]
    there = resampled([signal], in_rate, out_rate)
    back = resampled([there], out_rate, in_rate, num_out_samples=num_samples)
    assert len(back) == num_samples


@pytest.mark.parametrize("rates", [(44100, 16000), (8000, 44100), (16000, 8000), (11025, 48000)])
def test_round_trip_has_no_delay(rates):
    in_rate, out_rate = rates
    time = np.arange(in_rate) / in_rate
    signal = (np.sin(2 * np.pi * 300 * time) * np.hanning(in_rate)).astype(np.float32)
    there = resampled([signal], in_rate, out_rate)
    expected = np.sin(2 * np.pi * 300 * np.arange(out_rate) / out_rate) * np.hanning(out_rate)
    assert np.abs(there - expected).max() < 2e-3  # np.hanning ends at its last sample
    back = resampled([there], out_rate, in_rate, num_out_samples=in_rate)
    # 300 Hz lies inside the pass band; a delay of one sample would be off by 0.02 and more
    assert np.abs(back - signal).max() < 1e-4


def test_equal_rates_pass_the_very_block_through():
    block = noise(100)
    (passed,) = resample_blocks([block], 8000, 8000)
    assert np.shares_memory(passed, block) and np.array_equal(passed, block)


def test_one_dimension_in_one_dimension_out():
    assert resampled([noise(10)[:, 0]], 8000, 16000).shape == (20,)
    assert resampled([noise(10)], 8000, 16000).shape == (20, 1)


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="positive"):
        resampled([noise(1)], 0, 8000)
    with pytest.raises(ValueError, match="positive"):
        resampled([noise(1)], 8000, 0)
    with pytest.raises(ValueError, match="20 samples cannot give 21"):
        resampled([noise(10)], 8000, 16000, num_out_samples=21)
    with pytest.raises(ValueError, match="10 samples cannot give 11"):
        resampled([noise(10)], 8000, 8000, num_out_samples=11)


def test_wanted_length_is_cut_across_blocks():
    blocks = resample_blocks([noise(10)] * 3, 8000, 8000, num_out_samples=15)
    assert list(map(len, blocks)) == [10, 5]


@settings(deadline=None, max_examples=30)
@given(LENGTHS, RATES, RATES, st.lists(st.integers(0, 3000), max_size=4))
def test_resample_blocks_is_the_same(num_samples, in_rate, out_rate, cuts):
    signal = noise(num_samples)[:, 0]
    blocks = list(resample_blocks(split(signal, cuts), in_rate, out_rate))
    assert all(len(block) for block in blocks)
    got = np.concatenate([np.zeros(0, np.float32), *blocks])
    expected = resampled([signal], in_rate, out_rate)
    assert len(got) == len(expected)
    assert np.allclose(got, expected, atol=2e-5)


def test_resample_blocks_takes_no_block_at_all():
    assert list(resample_blocks([], 8000, 16000)) == []
    assert list(resample_blocks([noise(0)], 8000, 16000)) == []


def test_resample_blocks_keeps_pieces_small_at_extreme_ratios(monkeypatch):
    monkeypatch.setattr(resample, "MAX_BLOCK_VALUES", 10_000)
    pushed = []
    push = soxr.ResampleStream.resample_chunk

    def recording_push(self, block, last=False):
        pushed.append(len(block))
        return push(self, block, last)

    monkeypatch.setattr(soxr.ResampleStream, "resample_chunk", recording_push)
    blocks = list(resample_blocks([noise(5000)], 80, 8000))
    assert sum(map(len, blocks)) == 500_000
    assert pushed == [100] * 50 + [2]  # of silence at the end; 100 times as many come out: 10 000
    # what soxr's filters hold back, some 1000 samples of input, may come at once
    assert max(map(len, blocks)) <= 10_000 + 2000 * 100


def test_resample_blocks_cuts_to_the_wanted_length():
    blocks = resample_blocks([noise(100, 2), noise(100, 2)], 8000, 16000, 2, num_out_samples=333)
    assert np.concatenate(list(blocks)).shape == (333, 2)


@pytest.mark.parametrize(
    "rates", [(1, 8000), (8000, 1), (768_000, 8000), (8000, 768_000), (384_000, 16_000)]
)
@pytest.mark.parametrize("num_samples", [0, 1, 40])
def test_extreme_rates(rates, num_samples):
    got = resampled([noise(num_samples)[:, 0]], *rates)
    assert len(got) == resampled_length(num_samples, *rates)
    assert np.isfinite(got).all()


def test_huge_values_stay_finite():
    signal = np.full(2000, 2.0**31, np.float32) * np.where(np.arange(2000) % 2, 1, -1)
    got = resampled([signal.astype(np.float32)], 44100, 8000)
    assert np.isfinite(got).all()
