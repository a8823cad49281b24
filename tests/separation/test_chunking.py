from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepcli.separation.chunking import (
    ACTIVE_BELOW_PEAK_DB,
    Chunk,
    Energy,
    EnergyEnvelope,
    fade_in,
    overlap_add,
    percentile,
    plan_chunks,
    plan_seams,
)

RATE = 1000  # Hz; frames of the envelope are 20 samples


@st.composite
def recordings(draw):
    """A recording of bursts and pauses, a chunk, an overlap, and perhaps its energy."""
    num_samples = draw(st.integers(0, 3000))
    chunk = draw(st.integers(1, 900))
    overlap = draw(st.integers(0, chunk - 1))
    seed = draw(st.integers(0, 2**16))
    speakers = draw(st.integers(1, 4))
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.random(num_samples // 50 + 1) < draw(st.floats(0, 1)), 50)[:num_samples]
    signals = rng.standard_normal((speakers, num_samples)).astype(np.float32) * loud
    energy = envelope(signals.sum(0)) if draw(st.booleans()) else None
    return signals, chunk, overlap, energy


def envelope(signal, sample_rate=RATE):
    collected = EnergyEnvelope(sample_rate)
    collected.add(signal)
    return collected.values


def joined(signals, chunks, overlap, energy):
    def read(index):
        return signals[:, chunks[index].start : chunks[index].stop]

    blocks = list(overlap_add(chunks, read, overlap, energy))
    return np.concatenate(blocks, axis=1) if blocks else signals[:, :0]


@given(recordings())
@settings(max_examples=200, deadline=None)
def test_identity_network_is_reproduced_exactly(recording):
    signals, chunk, overlap, energy = recording
    chunks = plan_chunks(signals.shape[1], chunk, overlap, energy)
    np.testing.assert_array_equal(joined(signals, chunks, overlap, energy), signals)


@given(recordings())
@settings(max_examples=200, deadline=None)
def test_chunks_cover_the_recording_with_the_overlap_asked_for(recording):
    signals, chunk, overlap, energy = recording
    num_samples = signals.shape[1]
    chunks = plan_chunks(num_samples, chunk, overlap, energy)
    if num_samples <= chunk:
        assert chunks == ((Chunk(0, num_samples),) if num_samples else ())
        return
    assert chunks[0].start == 0
    assert chunks[-1].stop == num_samples
    assert {each.length for each in chunks} == {chunk}
    for one, following in pairwise(chunks):
        assert 0 < following.start - one.start <= chunk - overlap


@given(recordings())
@settings(max_examples=200, deadline=None)
def test_seams_lie_inside_overlaps_one_after_the_other(recording):
    signals, chunk, overlap, energy = recording
    chunks = plan_chunks(signals.shape[1], chunk, overlap, energy)
    seams = plan_seams(chunks, overlap, energy)
    assert len(seams) == max(0, len(chunks) - 1)
    for seam, (one, following) in zip(seams, pairwise(chunks), strict=True):
        assert following.start <= seam.start <= seam.stop <= one.stop
    for seam, following in pairwise(seams):
        assert seam.stop <= following.start


def test_without_energy_only_the_last_chunk_slides_back():
    assert [c.start for c in plan_chunks(100, 40, 10)] == [0, 30, 60]
    assert [c.start for c in plan_chunks(101, 40, 10)] == [0, 30, 60, 61]


def test_overlap_grows_until_somebody_speaks_in_it():
    signal = np.zeros(16_000, np.float32)
    signal[:6_600] = 1.0  # then a pause over the end of the first chunk, 7000 to 8000
    signal[9_000:] = 1.0
    first, second = plan_chunks(len(signal), 8_000, 1_000, envelope(signal))[:2]
    heard = np.count_nonzero(signal[second.start : first.stop])
    assert heard >= 500
    assert second.start > 6_000  # and no more than needed


def test_a_short_overlap_wants_to_be_filled_with_speech():
    signal = np.zeros(8_000, np.float32)
    signal[:3_500] = signal[5_000:] = 1.0
    second = plan_chunks(len(signal), 4_000, 200, envelope(signal))[1]
    assert second.start == 3_300  # 200 samples of speech, no more


def test_overlap_stays_when_the_pause_is_too_long_for_it():
    signal = np.zeros(16_000, np.float32)
    signal[:2_000] = signal[12_000:] = 1.0
    assert plan_chunks(len(signal), 8_000, 1_000, envelope(signal))[1].start == 7_000


def test_silence_and_constant_level_move_nothing():
    for signal in (np.zeros(5_000, np.float32), np.ones(5_000, np.float32)):
        with_energy = plan_chunks(5_000, 1_000, 200, envelope(signal))
        assert with_energy == plan_chunks(5_000, 1_000, 200)
        assert plan_chunks(5_000, 1_010, 0, envelope(signal)) == plan_chunks(5_000, 1_010, 0)


def test_fade_goes_to_the_quiet_place():
    signal = np.ones(4_000, np.float32)
    signal[1_600:1_800] = 0.001
    energy = envelope(signal)
    chunks = (Chunk(0, 2_000), Chunk(1_400, 2_000))
    (seam,) = plan_seams(chunks, 600, energy)
    assert 1_600 <= seam.start < seam.stop <= 1_800


def quiet(start, stop):
    """The energy of 160 samples that are loud but for one stretch; frames of one sample."""
    levels = np.full(160, 200, np.uint8)
    levels[start:stop] = 0
    return Energy(levels, 1)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, 0, (75, 85)),  # nothing to choose: the middle of the overlap, 60 to 100
        (70, 80, (70, 80)),
        (60, 74, (65, 75)),  # an eighth of the overlap is left out at either end,
        (86, 100, (85, 95)),  # though it would be quieter there
    ],
)
def test_seam_is_the_quietest_place_of_the_middle(start, stop, expected):
    chunks = (Chunk(0, 100), Chunk(60, 100))
    (seam,) = plan_seams(chunks, 40, quiet(start, stop))
    assert (seam.start, seam.stop) == expected


def test_a_fade_shorter_than_a_frame_goes_to_the_quietest_frame():
    levels = np.full(60, 200, np.uint8)
    levels[45], levels[47:49] = 100, 140
    (seam,) = plan_seams((Chunk(0, 1_000), Chunk(840, 360)), 40, Energy(levels, 20))
    assert (seam.start, seam.stop) == (905, 915)


def test_overlap_add_fades_where_it_is_quiet():
    def read(index):
        return np.full((1, 100), 1.0 - index, np.float32)

    chunks = (Chunk(0, 100), Chunk(60, 100))
    total = np.concatenate(list(overlap_add(chunks, read, 40, quiet(70, 80))), axis=1)[0]
    assert total.dtype == np.float32
    assert (total[:70] == 1.0).all() and (total[80:] == 0.0).all()
    assert ((total[70:80] > 0.0) & (total[70:80] < 1.0)).all()


def test_weights_of_a_seam_sum_to_one_and_rise():
    weights = fade_in(64)
    assert weights.dtype == np.float32
    assert fade_in(1) == 0.5
    np.testing.assert_allclose(weights + weights[::-1], 1.0, atol=1e-6)
    assert (np.diff(weights) > 0).all()
    chunks = (Chunk(0, 100), Chunk(60, 100))
    signal = np.array([[1.0], [0.0]], np.float32)  # what each chunk gives, for one speaker

    def read(index):
        return np.repeat(signal[index : index + 1], 100, axis=1)

    total = np.concatenate(list(overlap_add(chunks, read, 40)), axis=1)[0]
    assert total[0] == 1.0 and total[-1] == 0.0
    assert (np.diff(total) <= 0).all()
    assert np.count_nonzero((total > 0) & (total < 1)) == 10  # a quarter of the overlap


def test_overlap_add_reads_each_chunk_once_and_in_order():
    chunks = plan_chunks(10_000, 500, 400)
    asked = []

    def read(index):
        asked.append(index)
        return np.zeros((2, 500), np.float32)

    sizes = [block.shape[1] for block in overlap_add(chunks, read, 400)]
    assert asked == list(range(len(chunks)))
    assert sum(sizes) == 10_000
    assert max(sizes) <= 500


@given(st.lists(st.integers(0, 70), max_size=20), st.integers(1, 4000))
def test_envelope_does_not_depend_on_the_blocks(lengths, sample_rate):
    signal = np.random.default_rng(0).standard_normal(sum(lengths)).astype(np.float32)
    collected = EnergyEnvelope(sample_rate)
    for block in np.split(signal, np.cumsum(lengths)[:-1]) if lengths else []:
        collected.add(block)
    expected = envelope(signal, sample_rate)
    np.testing.assert_array_equal(collected.values.levels, expected.levels)
    assert len(expected.levels) == -(-len(signal) // expected.frame)


def test_envelope_levels_are_decibels():
    signal = np.concatenate([np.full(20, 1.0), np.full(20, 0.01), np.zeros(20)])
    np.testing.assert_array_equal(envelope(signal).levels, [240, 160, 0])  # 0, -40, at most -120 dB
    faint = np.full(20, np.sqrt(3e-12))  # and the floor adds to what is near it: 4e-12
    np.testing.assert_array_equal(envelope(faint).levels, [12])


def test_frames_hold_a_sample_at_least():
    assert EnergyEnvelope(1).values.frame == 1


def test_active_frames_are_judged_by_the_loudest():
    levels = np.array([0, 100, 180, 180, 180], np.uint8)  # -70 dB is 40 dB below the speech
    np.testing.assert_array_equal(
        Energy(levels, 20).active(ACTIVE_BELOW_PEAK_DB), [False, False, True, True, True]
    )
    levels = np.array([110, 111, *[180] * 30], np.uint8)  # 70 steps below is too quiet, 69 is not
    np.testing.assert_array_equal(
        Energy(levels, 20).active(ACTIVE_BELOW_PEAK_DB)[:3], [False, True, True]
    )
    silent = Energy(np.zeros(3, np.uint8), 20).active(ACTIVE_BELOW_PEAK_DB)
    assert silent.dtype == np.bool_
    assert not silent.any()


@pytest.mark.parametrize(("chunk", "overlap"), [(0, 0), (10, 10), (10, -1)])
def test_impossible_plans_are_refused(chunk, overlap):
    with pytest.raises(ValueError, match="no chunks"):
        plan_chunks(100, chunk, overlap)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60), st.floats(0, 100))
def test_percentile_is_numpys(values: list[float], percent: float) -> None:
    found = percentile(np.array(values), percent)
    assert found == pytest.approx(np.percentile(values, percent), abs=1e-9)
