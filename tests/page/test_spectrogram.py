import numpy as np
import pytest

from sepcli.page.spectrogram import (
    COLUMNS_A_SECOND,
    MOST_COLUMNS,
    NUM_ROWS,
    RANGE_DB,
    Spectrogram,
    shades,
    without_empty_top,
)

RATE = 12_000


def power_of(waveform: np.ndarray, block: int) -> np.ndarray:
    picture = Spectrogram(len(waveform), RATE)
    for start in range(0, len(waveform), block):
        picture.add(waveform[start : start + block].astype(np.float32))
    return picture.power()


@pytest.mark.parametrize("block", [1000, 12_000, 10**6])
def test_a_tone_is_where_and_when_it_sounds(block: int) -> None:
    time = np.arange(4 * RATE) / RATE
    waveform = np.sin(2 * np.pi * 3000 * time) * (time >= 1) * (time < 2)
    power = power_of(waveform, block)
    assert power.shape == (NUM_ROWS, 4 * COLUMNS_A_SECOND)
    heard = power.max(axis=0) > power.max() / 2
    assert np.flatnonzero(heard)[[0, -1]] == pytest.approx([50, 99], abs=1)
    assert heard.sum() == pytest.approx(50, abs=2)
    assert set(power[:, 60:90].argmax(axis=0)) <= {31, 32}  # of 64 rows up to 6 kHz


@pytest.mark.parametrize("num_samples", [0, 1, 200, 12_345])
def test_any_length_fills_its_picture(num_samples: int) -> None:
    power = power_of(np.ones(num_samples), 500)
    assert power.shape[0] == NUM_ROWS
    assert 1 <= power.shape[1] <= max(1, -(-num_samples * COLUMNS_A_SECOND // RATE))
    assert np.isfinite(power).all()


def test_long_recordings_have_no_wider_picture() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    picture = Spectrogram(3600 * RATE, RATE)
    for _ in range(60):
        picture.add(noise)
    power = picture.power()
    assert power.shape == (NUM_ROWS, MOST_COLUMNS)
    assert (power[:, :33] > 0).all()  # a minute of an hour
    assert (power[:, 34:] == 0).all()


def test_shades_are_steps_of_decibels() -> None:
    power = np.float32(10.0 ** (np.array([[0, -RANGE_DB / 3, -RANGE_DB, -200, 20]]) / 10))
    assert shades(power, 1.0, 16).tolist() == [[15, 10, 0, 0, 15]]
    assert shades(np.zeros((2, 2), np.float32), 0.0, 16).max() <= 15


def test_frequencies_that_no_picture_shows_are_left_out() -> None:
    low, high, empty = (np.zeros((NUM_ROWS, 3), np.uint8) for _ in range(3))
    low[5, 1] = high[20, 2] = 1
    assert [len(each) for each in without_empty_top([low, high])] == [21, 21]
    assert [len(each) for each in without_empty_top([empty])] == [NUM_ROWS]
