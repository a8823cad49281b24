import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sepcli.errors import AudioError, OutputError
from sepcli.separation.writing import OutputOptions
from tests.doubles import RATE, Identity, conversation
from tests.separation.runs import (
    both_modes,
    jobs_of,
    names,
    run,
    run_counting,
    run_knowing,
    tone,
    write_mixture,
    write_talk,
)


def test_outputs_have_the_inputs_length_rate_and_samples(tmp_path: Path) -> None:
    source = write_mixture(tmp_path / "in/a.wav", 3.3, rate=44100)
    (outcome,) = run(Identity(), jobs_of(tmp_path / "in", tmp_path / "out"))
    mixture, _ = soundfile.read(source)
    estimates = [soundfile.read(path) for path in outcome.job.outputs]
    assert all(len(waveform) == len(mixture) and rate == 44100 for waveform, rate in estimates)
    total = sum(waveform for waveform, _ in estimates)
    # band-limited below 4 kHz; the edges see the resamplers' transients
    np.testing.assert_allclose(total[400:-400], mixture[400:-400], atol=2e-3)


def test_existing_outputs_are_kept_skipped_or_replaced(tmp_path: Path) -> None:
    write_mixture(tmp_path / "in/a.wav")
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    run(Identity(), jobs)
    old = jobs[0].outputs[0].read_bytes()
    (kept,) = run(Identity((0.5, 0.5)), jobs)
    assert isinstance(kept.error, OutputError)
    assert "--overwrite" in kept.error.hint
    (skipped,) = run(Identity((0.5, 0.5)), jobs, OutputOptions(skip_existing=True))
    assert skipped.skipped
    assert skipped.error is None
    assert jobs[0].outputs[0].read_bytes() == old
    (replaced,) = run(Identity((0.5, 0.5)), jobs, OutputOptions(overwrite=True))
    assert replaced.error is None
    assert jobs[0].outputs[0].read_bytes() != old


def test_skip_existing_never_replaces(tmp_path: Path) -> None:
    write_mixture(tmp_path / "in/a.wav")
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    first, second = jobs[0].outputs
    first.parent.mkdir()
    first.write_bytes(b"precious")
    (outcome,) = run(Identity(), jobs, OutputOptions(skip_existing=True))
    assert not outcome.skipped
    assert isinstance(outcome.error, OutputError)
    assert outcome.error.message == f"only some of the outputs are there: {first}"
    assert "--overwrite" in outcome.error.hint
    assert names(tmp_path / "out") == ["a_spk1.wav"]
    assert first.read_bytes() == b"precious"
    first.rename(second)
    (outcome,) = run(Identity(), jobs, OutputOptions(skip_existing=True))
    assert outcome.error is not None
    assert names(tmp_path / "out") == ["a_spk2.wav"]


class FolderMeanwhile(Identity):
    """A folder takes a name while the recording is separated."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        self.path.mkdir(exist_ok=True)
        return super().forward(mixture)


@both_modes
@pytest.mark.parametrize("options", [OutputOptions(skip_existing=True), OutputOptions()])
def test_labels_and_outputs_are_there_together_or_not_at_all(
    tmp_path: Path, options: OutputOptions, mode: str
) -> None:
    write_talk(tmp_path / "in/a.wav")
    (plain,) = jobs_of(tmp_path / "in", tmp_path / "out")
    job = replace(plain, labels=(tmp_path / "out/a.rttm", tmp_path / "out/a.srt"))
    (outcome,) = run(FolderMeanwhile(job.labels[1]), [job], options, mode=mode)
    assert isinstance(outcome.error, OutputError)
    assert not outcome.skipped
    assert names(tmp_path / "out") == []
    job.labels[1].rmdir()
    (outcome,) = run(Identity(), [job], options, mode=mode)
    assert outcome.error is None
    assert names(tmp_path / "out") == ["a.rttm", "a.srt", "a_spk1.wav", "a_spk2.wav"]


@pytest.mark.parametrize("people", ["0101", "012012"])
def test_there_are_as_many_files_as_people(tmp_path: Path, people: str) -> None:
    outcome = run_counting(tmp_path, conversation(people))
    files = [f"a_spk{number}.wav" for number in range(1, len(set(people)) + 1)]
    assert names(tmp_path / "out") == files
    assert [path.name for path in outcome.outputs] == files
    assert outcome.delivery is not None
    assert {turn.speaker for turn in outcome.delivery.turns} == set(map(int, people))
    again = run_counting(tmp_path, conversation(people), OutputOptions(skip_existing=True))
    assert again.skipped
    assert again.outputs == outcome.outputs


@pytest.mark.parametrize("people", ["012012", "01230123"])
def test_files_of_more_people_than_there_are_now_are_kept_and_told_of(
    tmp_path: Path, people: str
) -> None:
    run_counting(tmp_path, conversation(people))
    third = tmp_path / "out/a_spk3.wav"
    before = third.read_bytes()
    outcome = run_counting(tmp_path, conversation("0101"), OutputOptions(overwrite=True))
    assert [path.name for path in outcome.outputs] == ["a_spk1.wav", "a_spk2.wav"]
    told = f"another speaker's file lies there, not of this run: {third}"
    more = ", and 1 more" if len(set(people)) == 4 else ""
    assert outcome.warnings == (told + more,)
    assert third.read_bytes() == before


def test_one_gain_for_all_speakers_when_one_would_clip(tmp_path: Path) -> None:
    source = tmp_path / "in/a.wav"
    source.parent.mkdir()
    soundfile.write(source, tone(0.9, RATE), RATE)
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    (outcome,) = run(Identity((2.0, 0.5)), jobs)
    assert outcome.delivery is not None
    loud, soft = (soundfile.read(path)[0] for path in jobs[0].outputs)
    assert np.abs(loud).max() == pytest.approx(1 - 2**-15)
    assert outcome.delivery.gain == pytest.approx(np.abs(loud).max() / 1.8, rel=1e-3)
    np.testing.assert_allclose(loud, 4 * soft, atol=2**-13)  # four 16-bit roundings
    assert any("clipping" in note for note in outcome.notes)


@pytest.mark.parametrize("people", ["auto", 1])
@pytest.mark.parametrize("peak", [0.99, 1.01, 1.5])
def test_the_gain_is_that_of_what_is_written(
    tmp_path: Path, people: int | str, peak: float
) -> None:
    """Where one speaks alone that is the recording, and in a file of many people their sum."""
    loud = conversation("0101") * np.float32(peak / np.abs(conversation("0101")).max())
    outcome = run_counting(tmp_path, loud, OutputOptions(subtype="PCM_16"), people=people)
    assert outcome.delivery is not None
    assert outcome.delivery.gain == pytest.approx(min(1.0, 1 / peak), rel=1e-3)
    assert outcome.delivery.num_clipped == 0


@pytest.mark.parametrize("shares", [(0.7, 0.7), (0.9, 0.3)])
def test_all_estimates_together_are_not_clipped(
    tmp_path: Path, shares: tuple[float, float]
) -> None:
    loud = conversation("0101") * np.float32(0.95 / np.abs(conversation("0101")).max())
    how = OutputOptions(subtype="PCM_16")
    outcome = run_counting(tmp_path, loud, how, shares=shares, outside_overlap="separated")
    assert outcome.delivery is not None
    assert outcome.delivery.gain == pytest.approx(1 / (0.95 * sum(shares)), rel=1e-3)
    assert outcome.delivery.num_clipped == 0


def test_float_outputs_are_never_scaled(tmp_path: Path) -> None:
    source = tmp_path / "in/a.wav"
    source.parent.mkdir()
    soundfile.write(source, tone(0.9, RATE), RATE)
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    (outcome,) = run(Identity((2.0, 0.5)), jobs, OutputOptions(subtype="FLOAT"))
    assert outcome.delivery is not None
    assert outcome.delivery.gain == 1
    assert soundfile.read(jobs[0].outputs[0])[0].max() == pytest.approx(1.8, abs=1e-3)


def test_a_part_of_a_recording(tmp_path: Path) -> None:
    source = write_mixture(tmp_path / "in/a.wav", 4.0)
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    (outcome,) = run(Identity(), [replace(jobs[0], span=(1.0, 2.5))])
    mixture = soundfile.read(source)[0][RATE : RATE * 5 // 2]
    total = sum(soundfile.read(path)[0] for path in outcome.job.outputs)
    np.testing.assert_allclose(total, mixture, atol=2**-14)
    (late,) = run(Identity(), [replace(jobs[0], span=(9.0, None))], OutputOptions(overwrite=True))
    assert isinstance(late.error, AudioError)
    assert late.error.hint == "begin earlier"


@both_modes
@pytest.mark.parametrize("wanted,expected", [("model", RATE), (22050, 22050)])
def test_another_output_rate(tmp_path: Path, wanted: str | int, expected: int, mode: str) -> None:
    write_mixture(tmp_path / "in/a.wav", 1.0, rate=16000)
    options = OutputOptions(sample_rate=wanted)  # type: ignore[arg-type]
    (outcome,) = run(Identity(), jobs_of(tmp_path / "in", tmp_path / "out"), options, mode=mode)
    waveform, rate = soundfile.read(outcome.job.outputs[0])
    assert (rate, len(waveform)) == (expected, expected)


@both_modes
@pytest.mark.parametrize("rate,wanted", [(48_000, 44_100), (44_100, 48_000), (48_000, 96_000)])
def test_another_output_rate_is_as_long_as_the_recording(
    tmp_path: Path, rate: int, wanted: int, mode: str
) -> None:
    """Not as what the network heard of it, which ends up to a sample of its rate later."""
    write_mixture(tmp_path / "in/a.wav", (rate + 1) / rate, rate=rate)
    options = OutputOptions(sample_rate=wanted)
    (outcome,) = run(Identity(), jobs_of(tmp_path / "in", tmp_path / "out"), options, mode=mode)
    lengths = {soundfile.info(path).frames for path in outcome.job.outputs}
    assert lengths == {-(-(rate + 1) * wanted // rate)}


@pytest.mark.parametrize("mode", [None, 2, "auto"])
def test_files_are_the_same_where_nobody_asks_who_speaks_when(
    tmp_path: Path, mode: int | str | None
) -> None:
    write_mixture(tmp_path / "in/short.wav")
    write_talk(tmp_path / "in/talk.wav")  # in which voices may be heard for long enough
    asked, unasked = (
        run(Identity((0.7, 0.3)), jobs_of(tmp_path / "in", tmp_path / name), output, people=mode)
        for name, output in {"a": OutputOptions(), "b": OutputOptions(tells_turns=False)}.items()
    )
    assert names(tmp_path / "a") == names(tmp_path / "b") != []
    for name in names(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    of_short, of_same = asked[0].delivery, unasked[0].delivery
    assert of_short is not None
    assert of_same is not None
    assert of_short.turns
    assert not of_same.turns
    assert [each.notes for each in asked] == [each.notes for each in unasked]


@both_modes
def test_turns_end_with_the_recording(tmp_path: Path, mode: str) -> None:
    """Not with the frame of 10 ms in which it ends."""
    talk = conversation("0202", 2.0)[: -RATE // 200]
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in/a.wav", talk, RATE)
    (job,) = jobs_of(tmp_path / "in", tmp_path / "out")
    cut = tmp_path / "cut"
    options = OutputOptions(segments=cut)
    (outcome,) = run(Identity(), [replace(job, segments=cut / "a")], options, mode=mode)
    assert outcome.delivery is not None
    assert max(turn.stop_seconds for turn in outcome.delivery.turns) == len(talk) / RATE
    for row in map(json.loads, (cut / "segments.jsonl").read_text().splitlines()):
        assert soundfile.info(row["audio_filepath"]).duration == row["duration"]


def test_labels_have_turns_though_nobody_else_asks(tmp_path: Path) -> None:
    write_mixture(tmp_path / "in/a.wav")
    (plain,) = jobs_of(tmp_path / "in", tmp_path / "out")
    job = replace(plain, labels=(tmp_path / "out/a.rttm",))
    run(Identity(), [job], OutputOptions(tells_turns=False))
    assert (tmp_path / "out/a.rttm").read_text().startswith("SPEAKER a ")


@both_modes
def test_an_empty_recording_gives_empty_files(tmp_path: Path, mode: str) -> None:
    source = tmp_path / "in/a.wav"
    source.parent.mkdir()
    soundfile.write(source, np.zeros(0), RATE)
    (outcome,) = run(Identity(), jobs_of(tmp_path / "in", tmp_path / "out"), mode=mode)
    assert outcome.error is None
    assert [len(soundfile.read(path)[0]) for path in outcome.job.outputs] == [0, 0]


def test_files_are_called_after_people_in_every_recording(tmp_path: Path) -> None:
    talks = {"a": "0101", "b": "1010", "c": "0303"}
    outcomes = run_knowing(tmp_path, talks, {"alice": "0", "bob": "1"})
    assert names(tmp_path / "out") == [
        "a_alice.wav",
        "a_bob.wav",
        "b_alice.wav",
        "b_bob.wav",
        "c_alice.wav",
        "c_spk2.wav",
    ]
    first, second, third = (outcome.delivery for outcome in outcomes)
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.cast.names == ("alice", "bob")
    assert second.cast.names == ("bob", "alice")
    assert [path.name for path in second.outputs] == ["b_bob.wav", "b_alice.wav"]
    likeness = [each.likeness for each in third.cast.recognised]
    assert likeness[0] == pytest.approx(1.0, abs=0.1)  # syllables at other places
    assert likeness[1] == pytest.approx(0.0, abs=0.1)
    alice = soundfile.read(tmp_path / "out/b_alice.wav")[0]
    turns = [slice(round(start * RATE), round((start + 3.8) * RATE)) for start in (0.1, 4.1)]
    assert [bool(np.square(alice[turn]).mean() > 1e-4) for turn in turns] == [False, True]


def test_one_person_alone_is_written_where_they_are_heard(tmp_path: Path) -> None:
    talks = {"a": "0101", "b": "2323", "c": "1212"}
    heard, other, last = run_knowing(
        tmp_path, talks, {"alice": "0", "bob": "1"}, only="bob", labels=(".rttm",)
    )
    assert names(tmp_path / "out") == ["a.rttm", "a_bob.wav", "c.rttm", "c_bob.wav"]
    assert [path.name for path in heard.outputs + last.outputs] == ["a_bob.wav", "c_bob.wav"]
    assert (tmp_path / "out/a.rttm").read_text().count("bob") == 2
    assert other.error is None
    assert other.outputs == ()
    (told,) = other.warnings
    assert told.startswith("bob is not heard, nothing was written (likeness 0.")
