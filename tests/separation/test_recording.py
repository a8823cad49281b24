"""What recordings hold that is not speech, and speech where one does not look for it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sepcli.separation.batch import Outcome, separate_jobs
from sepcli.separation.choices import Level
from sepcli.separation.inputs import plan_jobs
from sepcli.separation.naming import Naming
from sepcli.separation.pipeline import SeparationOptions
from sepcli.separation.separator import Separator
from sepcli.separation.writing import OutputOptions
from tests.doubles import RATE, BandSplit, Identity, entry, two_voices
from tests.separation.options import AS_SEPARATED

HALVES = Identity((0.5, 0.5))
MIXTURE = two_voices(3.0).sum(axis=0)
TIME = np.arange(len(MIXTURE)) / RATE


def outcome_of(
    folder: Path,
    signal: np.ndarray,
    subtype: str = "PCM_16",
    options: OutputOptions | None = None,
    network: torch.nn.Module = HALVES,
    level: Level = "as-is",
) -> Outcome:
    source = folder / "a.wav"
    soundfile.write(source, signal, RATE, subtype)
    naming = Naming(folder=folder / "out", extension=(options or OutputOptions()).format)
    jobs, _ = plan_jobs([str(source)], naming, recursive=False)
    separator = Separator(
        network, entry(level=level), SeparationOptions(device="cpu", **AS_SEPARATED)
    )
    (outcome,) = separate_jobs(separator.pipeline, jobs, options or OutputOptions())
    assert outcome.error is None
    return outcome


def total_of(outcome: Outcome) -> np.ndarray:
    return sum(soundfile.read(path)[0] for path in outcome.job.outputs)


def test_opposite_channels_are_no_silence(tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, np.stack([MIXTURE, -MIXTURE], axis=1))
    np.testing.assert_allclose(total_of(outcome), MIXTURE, atol=2**-14)
    assert outcome.notes == (
        "2 channels were mixed down to one",
        "channels opposite in phase were turned over, they would cancel each other",
    )


def test_silent_is_said_of_silence_only(tmp_path: Path) -> None:
    silence = np.zeros((RATE, 2))
    assert "the recording is silent" in outcome_of(tmp_path, silence).notes
    faint = silence + 1e-6 * np.sin(TIME[:RATE, np.newaxis] * 3000)
    options = OutputOptions(overwrite=True)
    assert "the recording is silent" not in outcome_of(tmp_path, faint, "FLOAT", options).notes


@pytest.mark.parametrize("channels", [1, 2])
def test_a_law_knows_no_zero_and_its_silence_is_called_so(tmp_path: Path, channels: int) -> None:
    silence = np.zeros((RATE, channels))
    outcome = outcome_of(tmp_path, silence, "ALAW")
    assert soundfile.read(tmp_path / "a.wav")[0].all()
    mixed = ("2 channels were mixed down to one",) if channels == 2 else ()
    assert outcome.notes == (*mixed, "the recording is silent")


@pytest.mark.parametrize(
    ("given", "format", "written"),
    [
        ("PCM_16", "wav", "PCM_16"),
        ("PCM_24", "wav", "PCM_24"),
        ("FLOAT", "wav", "FLOAT"),
        ("PCM_32", "wav", "FLOAT"),
        ("PCM_24", "flac", "PCM_24"),
        ("FLOAT", "ogg", "VORBIS"),
    ],
)
def test_outputs_keep_the_depth_of_the_input(
    tmp_path: Path, given: str, format: str, written: str
) -> None:
    options = OutputOptions(format=format)
    outcome = outcome_of(tmp_path, 0.3 * MIXTURE, given, options)
    assert {soundfile.info(path).subtype for path in outcome.job.outputs} == {written}


def test_a_float_recording_at_a_millionth_comes_out_whole(tmp_path: Path) -> None:
    faint = (1e-6 * MIXTURE).astype(np.float32)
    outcome = outcome_of(tmp_path, faint, "FLOAT")
    np.testing.assert_allclose(total_of(outcome), faint, atol=1e-12)
    assert outcome.notes == ()
    coarse = outcome_of(tmp_path, faint, "FLOAT", OutputOptions(subtype="PCM_16", overwrite=True))
    assert coarse.notes == ("so quiet that 16 bits hold it coarsely, --subtype FLOAT keeps it",)


@pytest.mark.parametrize("hz", [0, 20, 50])
def test_rumble_is_taken_out_and_nothing_moves(tmp_path: Path, hz: float) -> None:
    rumble = 0.2 * np.cos(2 * np.pi * hz * TIME)
    outcome = outcome_of(tmp_path, MIXTURE + rumble)
    middle = slice(RATE // 2, -RATE // 2)
    error = (total_of(outcome) - MIXTURE)[middle]
    assert np.sqrt(np.mean(error**2)) < 0.02 * MIXTURE.std()
    assert outcome.notes == ("hum or rumble below speech was taken out",)


def test_clean_speech_loses_nothing(tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, MIXTURE.astype(np.float32), "FLOAT")
    np.testing.assert_allclose(total_of(outcome), MIXTURE, atol=1e-7)
    assert outcome.notes == ()


def test_what_is_too_quiet_for_any_gain_is_silence(tmp_path: Path) -> None:
    quiet = (1e-42 * MIXTURE / np.abs(MIXTURE).max()).astype(np.float32)
    assert quiet.any()
    outcome = outcome_of(tmp_path, quiet, "FLOAT")
    assert outcome.error is None
    assert np.abs(total_of(outcome)).max() < 1e-30


@pytest.mark.parametrize("gain", [1e-4, 1e-6])
def test_speakers_of_a_faint_recording_keep_their_places(tmp_path: Path, gain: float) -> None:
    voices = two_voices(12.0)
    faint = (gain * voices.sum(axis=0)).astype(np.float32)
    outcome = outcome_of(tmp_path, faint, "FLOAT", network=BandSplit(), level="fit")
    files = np.stack([soundfile.read(path)[0] for path in outcome.job.outputs])
    error = min(np.square(files - gain * order).sum() for order in (voices, voices[::-1]))
    assert error < 1e-4 * np.square(gain * voices).sum()


class Heard(Identity):
    """Remembers how loud it was spoken to."""

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        self.peaks = [*getattr(self, "peaks", []), float(mixture.abs().max())]
        return super().forward(mixture)


def test_one_click_does_not_decide_the_gain(tmp_path: Path) -> None:
    quiet = (0.002 * MIXTURE / np.abs(MIXTURE).max()).astype(np.float32)
    quiet[RATE] = 1.0
    network = Heard((0.5, 0.5))
    outcome = outcome_of(tmp_path, quiet, "FLOAT", network=network)
    assert min(network.peaks) > 0.1
    assert max(network.peaks) <= 1.0  # the click is cut
    total = total_of(outcome)
    np.testing.assert_allclose(np.delete(total, RATE), np.delete(quiet, RATE), atol=1e-8)


@pytest.mark.parametrize("click", [1.0, 1e3, 1e9])
@pytest.mark.parametrize("level", [0.02, 0.2])
def test_the_network_hears_no_click(tmp_path: Path, level: float, click: float) -> None:
    signal = (level * MIXTURE / np.abs(MIXTURE).max()).astype(np.float32)
    signal[RATE] = click
    network = Heard((0.5, 0.5))
    total = total_of(outcome_of(tmp_path, signal, "FLOAT", network=network))
    assert max(network.peaks) == pytest.approx(2 * level, rel=0.01)
    np.testing.assert_array_equal(np.delete(total, RATE), np.delete(signal, RATE))


def test_a_click_does_not_silence_the_files(tmp_path: Path) -> None:
    voices = two_voices(20.0).sum(axis=0)
    signal = (0.5 * voices / np.abs(voices).max()).astype(np.float32)
    signal[10 * RATE] = 1e9
    options = SeparationOptions(device="cpu", people=1)
    separator = Separator(HALVES, entry(level="as-is"), options)
    source = tmp_path / "a.wav"
    soundfile.write(source, signal, RATE, "FLOAT")
    naming = Naming(folder=tmp_path, extension="wav")
    jobs, _ = plan_jobs([str(source)], naming, recursive=False)
    (outcome,) = separate_jobs(separator.pipeline, jobs, OutputOptions(subtype="PCM_16"))
    (output,) = outcome.delivery.outputs
    held, _ = soundfile.read(output)
    assert outcome.delivery.gain > 0.8
    assert held[10 * RATE] == np.float32(1 - 2**-15)
    assert np.std(np.delete(held, 10 * RATE)) > 0.9 * np.std(np.delete(signal, 10 * RATE))
    assert any("beyond full scale were limited: 1" in note for note in outcome.notes)


@pytest.mark.parametrize("other", [0.05, 0.05 * np.sin(2 * np.pi * 40 * TIME)], ids=["DC", "hum"])
def test_rumble_does_not_decide_the_gain(tmp_path: Path, other: float) -> None:
    quiet = 0.002 * MIXTURE / np.abs(MIXTURE).max()
    network = Heard((0.5, 0.5))
    outcome_of(tmp_path, (quiet + other).astype(np.float32), "FLOAT", network=network)
    assert max(network.peaks) == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("people", [1, 2])
def test_what_is_loud_above_the_network_is_no_click(tmp_path: Path, people: int) -> None:
    rate = 48_000
    time = np.arange(20 * rate) / rate
    signal = (1.3 * np.sin(2 * np.pi * 9000 * time)).astype(np.float32)
    signal += 0.3 * two_voices(20.0, rate=rate).sum(axis=0)
    source = tmp_path / "a.wav"
    soundfile.write(source, signal, rate, "FLOAT")
    separator = Separator(
        HALVES, entry(level="as-is"), SeparationOptions(device="cpu", people=people)
    )
    jobs, _ = plan_jobs([str(source)], Naming(folder=tmp_path, extension="wav"), recursive=False)
    (outcome,) = separate_jobs(separator.pipeline, jobs, OutputOptions(subtype="PCM_16"))
    assert outcome.delivery.gain < 0.9
    assert outcome.delivery.num_clipped == 0


def test_rumble_hides_no_speech(tmp_path: Path) -> None:
    quiet = 0.02 * np.tile(MIXTURE, 4) / np.abs(MIXTURE).max()
    signal = quiet + 0.8 * (np.arange(len(quiet)) < 2 * RATE)
    total = total_of(outcome_of(tmp_path, signal.astype(np.float32), "FLOAT"))
    late = slice(3 * RATE, -RATE // 2)
    np.testing.assert_allclose(total[late], quiet[late], atol=1e-3)


@pytest.mark.parametrize("level", [0.1, -0.003])
def test_nothing_but_dc_is_nobody(level: float) -> None:
    separator = Separator(Identity(), entry(level="fit"), SeparationOptions(device="cpu"))
    signal = np.full(20 * RATE, level, np.float32)
    assert separator.separate(signal, RATE).turns == ()
