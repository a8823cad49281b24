"""Channels that are apart already: written as they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.errors import AudioError, OutputError
from sepcli.separation.channels import write_channels
from sepcli.separation.jobs import Job
from sepcli.separation.writing import OutputOptions
from tests.doubles import RATE, two_voices

CALL = np.round(two_voices(3.0).T * 2**15) / 2**15


def job_of(folder: Path, signal: np.ndarray = CALL, subtype: str = "PCM_16") -> Job:
    source = folder / "call.wav"
    soundfile.write(source, signal, RATE, subtype)
    return Job(source, (folder / "out/call_spk1.wav", folder / "out/call_spk2.wav"))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_every_sample_is_kept(tmp_path: Path, subtype: str) -> None:
    job = job_of(tmp_path, subtype=subtype)
    (outcome,) = write_channels([job], OutputOptions())
    assert outcome.error is None
    assert outcome.seconds == 3.0
    for channel, output in enumerate(job.outputs):
        assert np.array_equal(soundfile.read(output)[0], CALL[:, channel])
        assert soundfile.info(output).subtype == subtype


def test_a_part_at_another_rate(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    options = OutputOptions(sample_rate=2 * RATE)
    list(write_channels([replace(job, span=(1.0, 2.0))], options))
    for channel, output in enumerate(job.outputs):
        samples, rate = soundfile.read(output)
        assert (len(samples), rate) == (2 * RATE, 2 * RATE)
        np.testing.assert_allclose(samples[400:-400:2], CALL[RATE : 2 * RATE, channel][200:-200],
                                   atol=1e-3)  # fmt: skip


def test_what_is_limited_is_counted_and_told(tmp_path: Path) -> None:
    loud = CALL.copy()
    loud[[7, 70, 700], [0, 1, 1]] = 1.5
    job = job_of(tmp_path, loud, "FLOAT")
    (whole,) = write_channels([job], OutputOptions())
    assert whole.notes == ()
    (limited,) = write_channels([job], OutputOptions(subtype="PCM_16", overwrite=True))
    assert limited.notes == (
        "values beyond full scale were limited: 3, --format wav --subtype FLOAT keeps them",
    )


def test_too_little_room_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 2 * 2 * len(CALL) - 1  # bytes: two files of 16 bits a sample, but for one
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": free})())
    (outcome,) = write_channels([job_of(tmp_path)], OutputOptions())
    assert isinstance(outcome.error, OutputError)
    assert "not enough space for the outputs" in outcome.error.message


@pytest.mark.parametrize("num_channels", [1, 3])
def test_other_numbers_of_channels_fail_alone(tmp_path: Path, num_channels: int) -> None:
    (tmp_path / "b").mkdir()
    wrong = job_of(tmp_path / "b", np.zeros((100, num_channels)))
    first, second = write_channels([wrong, job_of(tmp_path)], OutputOptions())
    assert isinstance(first.error, AudioError)
    assert first.error.message == f"--channels needs 2 channels, not {num_channels}: {wrong.source}"
    assert second.error is None
    assert not list((tmp_path / "b/out").iterdir())


def test_existing_outputs_are_kept_or_skipped(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    list(write_channels([job], OutputOptions()))
    (kept,) = write_channels([job], OutputOptions())
    assert isinstance(kept.error, OutputError)
    (skipped,) = write_channels([job], OutputOptions(skip_existing=True))
    assert skipped.skipped
