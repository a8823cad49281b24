import numpy as np
import pytest

from sepcli.separation.metering import (
    CallMeter,
    PeakMeter,
    RumbleMeter,
    high_pass_response,
    without_rumble,
)

RATE = 8000
NOISE = np.random.default_rng(3).uniform(-0.3, 0.3, 10 * RATE).astype(np.float32)
TIME = np.arange(len(NOISE)) / RATE


def tone(hz: float, amplitude: float = 0.2) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * TIME)).astype(np.float32)


def measured(signal: np.ndarray, step: int = 5000) -> PeakMeter:
    meter = PeakMeter(RATE)
    for start in range(0, len(signal), step):
        meter.add(signal[start : start + step])
    return meter


def rumble_of(signal: np.ndarray, step: int = 5000) -> RumbleMeter:
    meter = RumbleMeter(RATE)
    for start in range(0, len(signal), step):
        meter.add(signal[start : start + step])
    return meter


def filtered(signal: np.ndarray, start: int = 0, stop: int | None = None) -> np.ndarray:
    stop = len(signal) if stop is None else stop

    def read(first: int, length: int) -> np.ndarray:
        return signal[first : first + length]

    return without_rumble(read, start, stop - start, len(signal), RATE)


@pytest.mark.parametrize("clicks", [0, 1, 3])
@pytest.mark.parametrize("step", [700, 5000, 80_000])
def test_clicks_do_not_decide_the_usual_peak(clicks, step):
    signal = 0.001 * NOISE
    signal[[1000, 30_000, 70_000][:clicks]] = 1.0
    meter = measured(signal, step)
    assert meter.usual_peak == pytest.approx(0.0003, rel=0.01)
    assert meter.peak == (1.0 if clicks else np.abs(signal).max())


@pytest.mark.parametrize("step", [700, 5000, 80_000])
def test_a_word_is_no_click(step):
    signal = 0.001 * NOISE
    signal[30_000:31_200] = NOISE[30_000:31_200]  # 0.15 s
    signal[50_000:50_600] = 3 * NOISE[50_000:50_600]  # 0.075 s
    assert measured(signal, step).usual_peak == pytest.approx(0.3, rel=0.01)


def test_of_very_short_recordings_and_of_silence_with_a_click_the_peak_counts():
    click = np.zeros(len(NOISE), np.float32)
    click[5] = 0.7
    for signal in (click, click[:200]):
        assert measured(signal).usual_peak == measured(signal).peak == np.float32(0.7)
    assert measured(NOISE[:0]).usual_peak == 0.0
    assert measured(0 * NOISE).usual_peak == 0.0


@pytest.mark.parametrize("level", [1e-6, 1.0, 2.0**31])
def test_rumble_is_told_from_speech_at_any_level(level):
    def has_rumble(signal):
        return rumble_of((level * signal).astype(np.float32)).has_rumble

    for speech in (NOISE, tone(100), tone(100) + 0.01 * NOISE):
        assert not has_rumble(speech)
        for rumble in (tone(50, 0.1), tone(60, 0.1), tone(20, 0.1), 0.4 + 0 * NOISE):
            assert has_rumble(speech + rumble)
    assert not has_rumble(0 * NOISE)
    assert not has_rumble(0.4 + 0 * NOISE[: RATE // 2 - 1])  # too short to tell
    assert has_rumble(NOISE[: RATE // 2] + 0.4)


@pytest.mark.parametrize("step", [700, 5000, 80_000])
@pytest.mark.parametrize("amplitude", [0.0, 0.05, 0.2])
def test_rumble_share_is_that_of_spectra_however_the_recording_is_cut(step, amplitude):
    signal = NOISE + tone(60, amplitude) + np.float32(amplitude / 4)
    spectra = np.fft.rfft(signal.reshape(-1, RATE // 4) * np.hanning(RATE // 4))
    power = np.square(np.abs(spectra)).sum(axis=0)
    lost = 1 - high_pass_response(RATE // 4, RATE) ** 2
    share = (power * lost).sum() / power.sum()
    assert rumble_of(signal, step).rumble_share == pytest.approx(share, rel=1e-3)


@pytest.mark.parametrize(("hz", "gain"), [(50, 0.0046), (60, 0.078), (90, 0.982), (150, 1.0)])
def test_gain_and_no_delay(hz, gain):
    middle = slice(RATE, -RATE)
    assert np.allclose(filtered(tone(hz))[middle], gain * tone(hz)[middle], atol=1e-3)


def test_dc_is_gone_from_the_first_sample_to_the_last():
    assert np.abs(filtered(np.full(len(NOISE), 0.4, np.float32))).max() < 1e-6


@pytest.mark.parametrize("start", [0, 100, 3000, 40_000])
@pytest.mark.parametrize("length", [1, 500, 16_000])
def test_a_part_is_the_same_as_in_the_whole(start, length):
    signal = NOISE + tone(50) + 0.1
    whole = filtered(signal)
    assert np.allclose(filtered(signal, start, start + length), whole[start : start + length],
                       atol=2e-6)  # fmt: skip
    assert np.allclose(filtered(signal, len(signal) - length), whole[-length:], atol=2e-6)


@pytest.mark.parametrize("num_samples", [1, 2, 3, 100])
def test_any_length(num_samples):
    assert filtered(NOISE[:num_samples]).shape == (num_samples,)
    assert np.isfinite(filtered(NOISE[:num_samples])).all()


SECONDS = 30
TURNS = np.repeat([[1, 0], [0, 1], [1, 0], [1, 1], [0, 1], [0, 0]], 5 * RATE, axis=0)
VOICES = np.random.default_rng(6).normal(0, 0.1, (SECONDS * RATE, 2)) * TURNS


def is_call(channels: np.ndarray) -> bool:
    meter = CallMeter(RATE)
    for start in range(0, len(channels), 9000):
        meter.add(channels[start : start + 9000].astype(np.float32))
    return meter.is_call


@pytest.mark.parametrize("level", [0.003, 1.0])
@pytest.mark.parametrize("crosstalk", [0.0, 0.03])
def test_channels_of_a_call_are_told(level, crosstalk):
    hiss = np.random.default_rng(7).normal(0, 0.0005, VOICES.shape)
    assert is_call(level * (VOICES + crosstalk * VOICES[:, ::-1] + hiss))


def test_other_stereo_is_no_call():
    mono = VOICES.sum(axis=1, keepdims=True)
    assert not is_call(np.repeat(mono, 2, axis=1))
    assert not is_call(VOICES @ [[1.0, 0.5], [0.5, 1.0]])  # a pair of microphones
    assert not is_call(VOICES @ [[1.0, 0.0], [0.0, 0.0]])  # one channel is silent
    both = np.random.default_rng(8).normal(0, 0.1, VOICES.shape)
    assert not is_call(both)  # both all the time
    assert not is_call(VOICES[: 9 * RATE])  # too short to tell
    assert not is_call(0 * VOICES)
