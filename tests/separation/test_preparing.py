import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile
import torch

from sepcli.audio import AudioReader
from sepcli.errors import AudioError, OutputError
from sepcli.separation import scratch as spool_module
from sepcli.separation.jobs import Job
from sepcli.separation.preparing import RESUMABLE_SECONDS
from sepcli.separation.speakers import MOST_PEOPLE
from sepcli.separation.writing import OutputOptions
from tests.doubles import RATE, BandSplit, Identity, conversation
from tests.separation.runs import (
    Seeded,
    Stopping,
    StoppingSeeded,
    both_modes,
    jobs_of,
    names,
    refuse_to_go_on,
    run,
    run_counting,
    tone,
    write_mixture,
    write_once,
    write_stopping,
)


def test_a_recording_without_its_labels_is_not_done(tmp_path: Path) -> None:
    write_mixture(tmp_path / "in/a.wav")
    (plain,) = jobs_of(tmp_path / "in", tmp_path / "out")
    run(Identity(), [plain])
    job = replace(plain, labels=(tmp_path / "out/a.rttm",))
    (outcome,) = run(Identity(), [job], OutputOptions(skip_existing=True))
    assert not outcome.skipped
    assert isinstance(outcome.error, OutputError)
    assert "only some of the outputs are there" in outcome.error.message


def test_outputs_are_replaced_all_or_none_and_that_is_known_before_the_work(
    tmp_path: Path,
) -> None:
    write_mixture(tmp_path / "in/a.wav")
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    jobs[0].outputs[1].mkdir(parents=True)
    jobs[0].outputs[0].write_bytes(b"old")
    network = BandSplit()
    (outcome,) = run(network, jobs, OutputOptions(overwrite=True))
    assert isinstance(outcome.error, OutputError)
    assert "folder has that name" in outcome.error.hint
    assert network.num_calls == 0
    assert jobs[0].outputs[0].read_bytes() == b"old"


def test_names_that_are_too_long_are_told_before_the_work(tmp_path: Path) -> None:
    write_mixture(tmp_path / "in" / ("x" * 250 + ".wav"))
    network = BandSplit()
    (outcome,) = run(network, jobs_of(tmp_path / "in", tmp_path / "out"))
    assert isinstance(outcome.error, OutputError)
    assert "file name too long" in outcome.error.message
    assert network.num_calls == 0


def test_a_mixture_that_fills_the_disk_is_refused_before_it_is_spooled(tmp_path: Path) -> None:
    """A second at 1 Hz is 8,000 samples for the network: 4 MB of silence are a month."""
    path = tmp_path / "in/a.wav"
    path.parent.mkdir()
    soundfile.write(path, np.zeros(1 << 21), 1)
    free = type("Usage", (), {"free": 10**9})()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: free)
        (outcome,) = run(Identity(), jobs_of(tmp_path / "in", tmp_path / "out"))
    assert isinstance(outcome.error, OutputError)
    assert "not enough space for the spool" in outcome.error.message


@pytest.mark.parametrize("through_link", [False, True])
def test_an_output_never_replaces_its_input(tmp_path: Path, through_link: bool) -> None:
    source = write_mixture(tmp_path / "in/a.wav")
    output = source
    if through_link:
        output = tmp_path / "in/link.wav"
        output.symlink_to(source)
    before = source.read_bytes()
    job = Job(source, (output, tmp_path / "other.wav"))
    (outcome,) = run(Identity(), [job], OutputOptions(overwrite=True))
    assert isinstance(outcome.error, OutputError)
    assert "replace its input" in outcome.error.message
    assert source.read_bytes() == before


def test_an_output_whose_name_is_too_long_stops_no_other_recording(tmp_path: Path) -> None:
    for name in ("x" * 250, "a"):
        write_mixture(tmp_path / f"in/{name}.wav", 1.0)
    (tmp_path / "out").mkdir()
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    done, failed = run(Identity(), jobs, OutputOptions(skip_existing=True))
    if done.error is not None:
        done, failed = failed, done
    assert len(done.outputs) == 2
    assert failed.error is not None
    assert failed.error.message.startswith("cannot write (file name too long): ")


def test_a_recording_that_is_gone_stops_no_other_one(tmp_path: Path) -> None:
    for name in "ab":
        write_mixture(tmp_path / f"in/{name}.wav", 1.0)
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    run(Identity(), jobs)
    (tmp_path / "in/a.wav").unlink()
    outcomes = run(Identity(), jobs, OutputOptions(overwrite=True))
    errors = {each.job.label: each.error for each in outcomes}
    assert isinstance(errors[str(tmp_path / "in/a.wav")], AudioError)
    assert errors[str(tmp_path / "in/b.wav")] is None


class Opened(AudioReader):
    """Says whether it was closed; a hook runs when it is opened."""

    closed: ClassVar[list[bool]] = []
    on_open: ClassVar[Callable[[Path], None]] = lambda path: None

    def __init__(self, source: Path, **options: int | None) -> None:
        super().__init__(source, **options)
        type(self).on_open(source)
        self.closed.append(False)

    def close(self) -> None:
        super().close()
        self.closed[-1:] = [True]


def test_a_recording_that_cannot_be_prepared_is_closed_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sepcli.separation.preparing.AudioReader", Opened)
    write_mixture(tmp_path / "in/a.wav", 1.0)
    (job,) = jobs_of(tmp_path / "in", tmp_path / "out")
    (late,) = run(Identity(), [replace(job, span=(9.0, None))])
    assert isinstance(late.error, AudioError)
    assert Opened.closed.pop()
    monkeypatch.setattr(Opened, "on_open", Path.unlink)
    (moved,) = run(Identity(), [job], OutputOptions(resume=True))
    assert isinstance(moved.error, AudioError)
    assert moved.error.message == f"no such file: {job.source}"
    assert Opened.closed.pop()


def test_the_time_taken_begins_with_the_first_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sepcli.separation.preparing.AudioReader", Opened)
    monkeypatch.setattr(Opened, "on_open", lambda path: time.sleep(0.5))
    write_mixture(tmp_path / "in/a.wav", 0.1)
    (outcome,) = run(Identity(), jobs_of(tmp_path / "in", tmp_path / "out"))
    assert outcome.elapsed >= 0.5


@both_modes
@pytest.mark.parametrize("lanes", [1, 2])
def test_a_resumed_run_gives_the_same_bytes(
    lanes: int, mode: str, tmp_path: Path, spool_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sepcli.separation.pipeline.num_lanes", lambda device: lanes)
    write_stopping(tmp_path / "in/a.wav")
    whole, pieces = (jobs_of(tmp_path / "in", tmp_path / name) for name in ("whole", "pieces"))
    (expected,) = run(Seeded(), whole, mode=mode)
    assert expected.delivery is not None
    is_composed = expected.delivery.scene.stretches is not None
    assert is_composed == (mode == "original")
    with pytest.raises(KeyboardInterrupt):
        run(StoppingSeeded(), pieces, OutputOptions(resume=True), mode=mode)
    assert len(names(spool_folder)) == 1
    again = Seeded()
    (outcome,) = run(again, pieces, OutputOptions(resume=True), mode=mode)
    assert outcome.error is None
    plain = Seeded()
    run(plain, jobs_of(tmp_path / "in", tmp_path / "third"), mode=mode)
    assert plain.num_calls - again.num_calls == 5 - 5 % lanes  # five came before; whole pairs count
    for one, other in zip(whole[0].outputs, pieces[0].outputs, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert names(spool_folder) == []


def test_estimates_that_a_disk_damaged_are_made_again(tmp_path: Path, spool_folder: Path) -> None:
    write_stopping(tmp_path / "in/a.wav")
    whole, pieces = (jobs_of(tmp_path / "in", tmp_path / name) for name in ("whole", "pieces"))
    run(Seeded(), whole)
    with pytest.raises(KeyboardInterrupt):
        run(StoppingSeeded(), pieces, OutputOptions(resume=True))
    (name,) = names(spool_folder)
    (kept,) = spool_folder.rglob(Path(name).name)
    with kept.open("r+b") as stream:
        stream.seek(kept.stat().st_size // 2)
        stream.write(b"\xff" * 64)
    again = Seeded()
    (outcome,) = run(again, pieces, OutputOptions(resume=True))
    assert outcome.error is None
    assert again.num_calls > 1  # the damaged chunk, and all after it
    for one, other in zip(whole[0].outputs, pieces[0].outputs, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_estimates_are_resumed_whatever_is_made_of_them_and_by_another_device_of_the_kind(
    tmp_path: Path,
) -> None:
    write_stopping(tmp_path / "in/a.wav")
    voice = write_once(tmp_path / "voices/alice.wav", conversation("0", 3.0))
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run(StoppingSeeded(), jobs, OutputOptions(resume=True), device="cpu:0")
    again, plain = Seeded(), Seeded()
    jobs = [replace(jobs[0], named=(("alice", tmp_path / "out/a_alice.wav"),))]
    options = OutputOptions(resume=True)
    how: dict[str, object] = {"people": 2, "outside_overlap": "original", "bandwidth": "full"}
    (outcome,) = run(again, jobs, options, known={"alice": voice}, device="cpu:1", **how)
    assert outcome.error is None
    run(plain, jobs_of(tmp_path / "in", tmp_path / "plain"))
    assert again.num_calls < plain.num_calls


class Weighed(Seeded):
    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(weight))


class StoppingWeighed(Weighed):
    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        refuse_to_go_on(mixture)
        return super().forward(mixture)


def test_estimates_of_other_weights_are_not_resumed(tmp_path: Path) -> None:
    write_stopping(tmp_path / "in/a.wav")
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run(StoppingWeighed(1.0), jobs, OutputOptions(resume=True))
    retrained, plain = Weighed(2.0), Weighed(2.0)
    run(retrained, jobs, OutputOptions(resume=True))
    run(plain, jobs, OutputOptions(overwrite=True))
    assert retrained.num_calls == plain.num_calls


class StoppingQuiet(Identity):
    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        if mixture.abs().max() < 0.5:
            raise KeyboardInterrupt
        return super().forward(mixture)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_common_gain_knows_the_peak_of_what_was_resumed(tmp_path: Path, sign: float) -> None:
    (tmp_path / "in").mkdir()
    loud_first = tone(0.1, 12 * RATE)
    loud_first[: RATE // 2 : 100] = 0.9 * sign
    soundfile.write(tmp_path / "in/a.wav", loud_first, RATE)
    whole, pieces = (jobs_of(tmp_path / "in", tmp_path / name) for name in ("whole", "pieces"))
    (expected,) = run(Identity((2.0, 0.5)), whole)
    with pytest.raises(KeyboardInterrupt):
        run(StoppingQuiet((2.0, 0.5)), pieces, OutputOptions(resume=True))
    (outcome,) = run(Identity((2.0, 0.5)), pieces, OutputOptions(resume=True))
    assert expected.delivery is not None
    assert outcome.delivery is not None
    assert outcome.delivery.gain == expected.delivery.gain < 0.6
    assert whole[0].outputs[0].read_bytes() == pieces[0].outputs[0].read_bytes()


def test_recordings_of_seconds_use_no_spool_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError("no temporary files")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    write_mixture(tmp_path / "in/a.wav", 3.0)
    write_mixture(tmp_path / "in/b.wav", 21.0)
    outcomes = run(Identity(), jobs_of(tmp_path / "in", tmp_path / "out"))
    errors = {outcome.job.label[-5:]: outcome.error for outcome in outcomes}
    assert errors["a.wav"] is None
    assert isinstance(errors["b.wav"], OutputError)


def test_long_recordings_can_be_resumed_without_asking(
    tmp_path: Path, spool_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sepcli.separation.preparing.RESUMABLE_SECONDS", RESUMABLE_SECONDS / 60)
    write_stopping(tmp_path / "in/a.wav")
    with pytest.raises(KeyboardInterrupt):
        run(Stopping(), jobs_of(tmp_path / "in", tmp_path / "out"))
    assert len(names(spool_folder)) == 1


def test_there_is_room_for_as_many_files_as_there_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixture = conversation("0101")
    free = MOST_PEOPLE * 4 * len(mixture) - 1  # bytes: eight files of floats, but for one
    monkeypatch.setattr(spool_module, "require_free_space", lambda *arguments: None)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": free})())
    outcome = run_counting(tmp_path, mixture)
    assert isinstance(outcome.error, OutputError)
    assert "not enough space for the outputs" in outcome.error.message


def test_too_little_room_for_the_outputs_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mixture(tmp_path / "in/a.wav")
    monkeypatch.setattr(spool_module, "require_free_space", lambda *arguments: None)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    network = BandSplit()
    (outcome,) = run(network, jobs_of(tmp_path / "in", tmp_path / "out"))
    assert isinstance(outcome.error, OutputError)
    assert "not enough space for the outputs" in outcome.error.message
    assert network.num_calls == 0
