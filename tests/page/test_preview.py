import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.errors import AudioError
from sepcli.page import Track
from sepcli.page.preview import RATE, preview_of
from tests.page.talks import SECONDS, TONES_HZ, TURNS, talk_in


def heard(sound: bytes) -> np.ndarray:
    """Return the samples of a preview; Opus may decode to another rate than it was given."""
    waveform, rate = soundfile.read(io.BytesIO(sound))
    assert rate % RATE == 0
    return waveform[:: rate // RATE]


def test_a_preview_sounds_as_its_channel_does(tmp_path: Path) -> None:
    track = talk_in(tmp_path).tracks[2]
    preview = preview_of(track, SECONDS, 10**6)
    waveform = heard(preview.sound)
    assert len(waveform) / RATE == pytest.approx(SECONDS, abs=0.01)
    assert preview.sound_seconds == pytest.approx(SECONDS)
    turn = TURNS[1]  # the only one of the second person
    inside = slice(round(turn.start_seconds * RATE) + 600, round(turn.stop_seconds * RATE) - 600)
    spectrum = np.abs(np.fft.rfft(waveform[inside]))
    loudest = spectrum.argmax() * RATE / (inside.stop - inside.start)
    assert loudest == pytest.approx(TONES_HZ[1], abs=5)
    outside = np.delete(waveform, np.r_[inside.start - 1200 : inside.stop + 1200])
    assert np.abs(outside).max() < 0.01 * np.abs(waveform[inside]).max()
    row = preview.power[:, 100].argmax()  # 2 s
    assert (row + 0.5) * RATE / 2 / len(preview.power) == pytest.approx(TONES_HZ[1], abs=100)


def test_a_part_of_a_recording(tmp_path: Path) -> None:
    talk_in(tmp_path)
    track = Track("recording", tmp_path / "talk.wav", span=(4.0, 5.0))
    preview = preview_of(track, 1.0, 10**6)
    assert len(heard(preview.sound)) / RATE == pytest.approx(1.0, abs=0.01)
    rows = preview.power[:, 5:-5].argmax(axis=0)
    assert set(rows) <= {26, 27}  # the third person at 2500 Hz


def test_sound_ends_where_there_is_no_room(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 30 * 8000)
    soundfile.write(tmp_path / "long.wav", noise, 8000)
    track = Track("recording", tmp_path / "long.wav")
    whole = preview_of(track, 30.0, 10**9)
    part = preview_of(track, 30.0, 20_000)
    none = preview_of(track, 30.0, 0)
    assert 2.0 < part.sound_seconds < whole.sound_seconds / 2
    assert len(heard(part.sound)) / RATE == pytest.approx(part.sound_seconds, abs=0.01)
    assert len(part.sound) < 40_000 < len(whole.sound)
    assert (none.sound, none.sound_seconds) == (b"", 0.0)
    assert np.array_equal(part.power, whole.power)


def test_a_file_that_is_gone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AudioError):
        preview_of(Track("spk1", tmp_path / "gone.wav"), 1.0, 10**6)
