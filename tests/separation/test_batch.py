import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from sepcli.separation.batch import RESUMABLE_SECONDS, SHORT_AHEAD, Outcome, separate_jobs
from sepcli.separation.jobs import Job, plan_jobs
from sepcli.separation.lanes import LANES
from sepcli.separation.naming import Naming
from sepcli.separation.pipeline import MOST_WAITING
from sepcli.separation.separator import SeparationOptions, Separator
from sepcli.separation.speakers import MOST_PEOPLE
from sepcli.separation.writing import OutputOptions
from tests.doubles import (
    RATE,
    BandSplit,
    Broken,
    Identity,
    conversation,
    entry,
    hear_bands,
    two_voices,
)
from tests.separation.options import AS_SEPARATED


@pytest.fixture(autouse=True)
def spool_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "spools"
    monkeypatch.setenv("SEPCLI_SPOOL", str(folder))
    return folder


def write_mixture(path: Path, seconds: float = 2.5, seed: int = 0, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, two_voices(seconds, seed, rate).sum(axis=0), rate)
    return path


def tone(peak: float, num_samples: int) -> np.ndarray:
    """Return a tone of an eighth of the rate, which meets its peak exactly."""
    return peak * np.sin(2 * np.pi / 8 * np.arange(num_samples))


def jobs_of(folder: Path, out: Path) -> list[Job]:
    naming = Naming(folder=out, extension="wav")
    return plan_jobs([str(folder)], naming, recursive=True)[0]


def run(
    network: torch.nn.Module, jobs: list[Job], options: OutputOptions | None = None, batch: int = 1
) -> list[Outcome]:
    separator = Separator(
        network,
        entry(level="as-is"),
        SeparationOptions(batch_size=batch, device="cpu", **AS_SEPARATED),
    )
    return list(separate_jobs(separator.pipeline, jobs, options or OutputOptions()))


def run_counting(
    folder: Path,
    mixture: np.ndarray,
    options: OutputOptions | None = None,
    people: int | str = "auto",
) -> Outcome:
    """Separate a conversation, `a.wav`, into as many files as there are people."""
    (folder / "in").mkdir(exist_ok=True)
    soundfile.write(folder / "in/a.wav", mixture, RATE, "FLOAT")
    os.utime(folder / "in/a.wav", (0, 0))  # so that it is the same one the next time
    naming = Naming(
        folder=folder / "out",
        extension="wav",
        num_speakers=people if isinstance(people, int) else MOST_PEOPLE,
        num_certain=1 if people == "auto" else None,
    )
    jobs, _ = plan_jobs([str(folder / "in/a.wav")], naming, recursive=False)
    separator = Separator(
        Identity((0.5, 0.5)),
        entry(level="as-is"),
        SeparationOptions(device="cpu", people=people),  # type: ignore[arg-type]
        embed=hear_bands,
    )
    (outcome,) = separate_jobs(separator.pipeline, jobs, options or OutputOptions())
    return outcome


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("batch", [1, 3])
def test_a_folder_with_a_broken_file(tmp_path: Path, batch: int) -> None:
    for number in range(6):
        write_mixture(tmp_path / f"in/{number}.wav", 0.3 + 0.2 * (number % 3), number)
    (tmp_path / "in/3.wav").write_bytes(b"RIFF but not a WAV")
    outcomes = run(Identity(), jobs_of(tmp_path / "in", tmp_path / "out"), batch=batch)
    failed = [outcome for outcome in outcomes if outcome.error]
    assert len(outcomes) == 6
    assert [outcome.job.source for outcome in failed] == [tmp_path / "in/3.wav"]
    assert isinstance(failed[0].error, AudioError)
    assert names(tmp_path / "out") == sorted(f"{n}_spk{k}.wav" for n in "01245" for k in (1, 2))


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


class Meanwhile(Identity):
    """Another run writes the same outputs while this one computes them."""

    def __init__(self, outputs: tuple[Path, ...]) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        for output in self.outputs:
            output.write_bytes(b"the other run's")
        return super().forward(mixture)


def test_skip_existing_keeps_what_another_run_wrote_meanwhile(tmp_path: Path) -> None:
    write_mixture(tmp_path / "in/a.wav")
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    jobs = [replace(jobs[0], labels=(tmp_path / "out/a.rttm",))]
    written = jobs[0].outputs + jobs[0].labels
    (outcome,) = run(Meanwhile(written), jobs, OutputOptions(skip_existing=True))
    assert outcome.skipped
    assert outcome.error is None
    assert {path.read_bytes() for path in jobs[0].outputs} == {b"the other run's"}
    for path in written:
        path.unlink()
    (outcome,) = run(Meanwhile(jobs[0].outputs[1:]), jobs, OutputOptions(skip_existing=True))
    assert isinstance(outcome.error, OutputError)
    assert names(tmp_path / "out") == ["a_spk2.wav"]
    assert jobs[0].outputs[1].read_bytes() == b"the other run's"


class FolderMeanwhile(Identity):
    """A folder takes a name while the recording is separated."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        self.path.mkdir(exist_ok=True)
        return super().forward(mixture)


@pytest.mark.parametrize("options", [OutputOptions(skip_existing=True), OutputOptions()])
def test_labels_and_outputs_are_there_together_or_not_at_all(
    tmp_path: Path, options: OutputOptions
) -> None:
    write_mixture(tmp_path / "in/a.wav")
    (plain,) = jobs_of(tmp_path / "in", tmp_path / "out")
    job = replace(plain, labels=(tmp_path / "out/a.rttm", tmp_path / "out/a.srt"))
    (outcome,) = run(FolderMeanwhile(job.labels[1]), [job], options)
    assert isinstance(outcome.error, OutputError)
    assert not outcome.skipped
    assert names(tmp_path / "out") == []
    job.labels[1].rmdir()
    (outcome,) = run(Identity(), [job], options)
    assert outcome.error is None
    assert names(tmp_path / "out") == ["a.rttm", "a.srt", "a_spk1.wav", "a_spk2.wav"]


def test_a_recording_without_its_labels_is_not_done(tmp_path: Path) -> None:
    write_mixture(tmp_path / "in/a.wav")
    (plain,) = jobs_of(tmp_path / "in", tmp_path / "out")
    run(Identity(), [plain])
    job = replace(plain, labels=(tmp_path / "out/a.rttm",))
    (outcome,) = run(Identity(), [job], OutputOptions(skip_existing=True))
    assert not outcome.skipped
    assert isinstance(outcome.error, OutputError)
    assert "only some of the outputs are there" in outcome.error.message


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


def test_fewer_people_than_before_leave_no_file_of_the_others_beside_theirs(
    tmp_path: Path, spool_folder: Path
) -> None:
    two, three = conversation("0101"), conversation("012012")
    run_counting(tmp_path, three)
    third = tmp_path / "out/a_spk3.wav"
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    again = OutputOptions(overwrite=True, resume=True)
    refused = run_counting(tmp_path, two, again)
    assert isinstance(refused.error, OutputError)
    assert refused.error.message.endswith(f": {third}")
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert len(names(spool_folder)) == 1  # what was separated is not lost
    third.rename(tmp_path / "third.wav")
    assert run_counting(tmp_path, two, again).error is None
    assert names(tmp_path / "out") == ["a_spk1.wav", "a_spk2.wav"]
    assert names(spool_folder) == []
    assert run_counting(tmp_path, three, again).error is None


@pytest.mark.parametrize("people", [2, 3])
def test_fewer_people_than_were_asked_for_are_told(tmp_path: Path, people: int) -> None:
    outcome = run_counting(tmp_path, conversation("01", 1.0), people=people)  # too short to tell
    assert len(outcome.outputs) == people
    silent = [path.name for path in outcome.outputs if not soundfile.read(path)[0].any()]
    told = [note for note in outcome.notes if "fewer people" in note]
    if people == 2:
        assert (silent, told) == ([], [])
    else:
        assert silent == ["a_spk3.wav"]
        assert told == ["it sounds like fewer people than outputs: 2 of 3"]


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
def test_the_gain_is_that_of_what_is_written(tmp_path: Path, people: int | str) -> None:
    """Where one speaks alone that is the recording, and in a file of many people their sum."""
    loud = conversation("0101") * np.float32(1.5 / np.abs(conversation("0101")).max())
    outcome = run_counting(tmp_path, loud, OutputOptions(subtype="PCM_16"), people=people)
    assert outcome.delivery is not None
    assert outcome.delivery.gain == pytest.approx(1 / 1.5, rel=1e-3)
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


def test_a_network_that_fails_leaves_nothing(tmp_path: Path) -> None:
    write_mixture(tmp_path / "in/a.wav")
    (outcome,) = run(Broken(), jobs_of(tmp_path / "in", tmp_path / "out"))
    assert outcome.error is not None
    assert names(tmp_path / "out") == []


class Picky(Identity):
    """Fails on loud chunks and counts how often it was asked."""

    num_calls = 0

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        self.num_calls += 1
        estimates = super().forward(mixture)
        return estimates / (mixture.abs().amax(dim=-1) < 0.5)[:, None, None]


@pytest.mark.parametrize("batch", [1, 4])
def test_a_failing_recording_is_given_up_at_once_and_alone(tmp_path: Path, batch: int) -> None:
    for number, level in enumerate((0.1, 0.9, 0.1)):
        path = tmp_path / f"in/{number}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, tone(level, RATE * 20), RATE)
    network = Picky()
    outcomes = run(network, jobs_of(tmp_path / "in", tmp_path / "out"), batch=batch)
    failed = [outcome.job.source for outcome in outcomes if outcome.error]
    assert failed == [tmp_path / "in/1.wav"]
    assert len(names(tmp_path / "out")) == 4
    chunks = 2 * (20 / 0.6 + 1)  # of the two good ones
    assert network.num_calls < chunks / batch + 4 * batch


def test_a_part_of_a_recording(tmp_path: Path) -> None:
    source = write_mixture(tmp_path / "in/a.wav", 4.0)
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    (outcome,) = run(Identity(), [replace(jobs[0], span=(1.0, 2.5))])
    mixture = soundfile.read(source)[0][RATE : RATE * 5 // 2]
    total = sum(soundfile.read(path)[0] for path in outcome.job.outputs)
    np.testing.assert_allclose(total, mixture, atol=2**-14)
    (late,) = run(Identity(), [replace(jobs[0], span=(9.0, None))], OutputOptions(overwrite=True))
    assert isinstance(late.error, AudioError)
    assert "--start" in late.error.hint


@pytest.mark.parametrize("wanted,expected", [("model", RATE), (22050, 22050)])
def test_another_output_rate(tmp_path: Path, wanted: str | int, expected: int) -> None:
    write_mixture(tmp_path / "in/a.wav", 1.0, rate=16000)
    options = OutputOptions(sample_rate=wanted)  # type: ignore[arg-type]
    (outcome,) = run(Identity(), jobs_of(tmp_path / "in", tmp_path / "out"), options)
    waveform, rate = soundfile.read(outcome.job.outputs[0])
    assert (rate, len(waveform)) == (expected, expected)


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
    monkeypatch.setattr("sepcli.separation.batch.AudioReader", Opened)
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
    monkeypatch.setattr("sepcli.separation.batch.AudioReader", Opened)
    monkeypatch.setattr(Opened, "on_open", lambda path: time.sleep(0.5))
    write_mixture(tmp_path / "in/a.wav", 0.1)
    (outcome,) = run(Identity(), jobs_of(tmp_path / "in", tmp_path / "out"))
    assert outcome.elapsed >= 0.5


def test_an_empty_recording_gives_empty_files(tmp_path: Path) -> None:
    source = tmp_path / "in/a.wav"
    source.parent.mkdir()
    soundfile.write(source, np.zeros(0), RATE)
    (outcome,) = run(Identity(), jobs_of(tmp_path / "in", tmp_path / "out"))
    assert outcome.error is None
    assert [len(soundfile.read(path)[0]) for path in outcome.job.outputs] == [0, 0]


STOP = 0.99  # a sample that stands for a user who presses Ctrl-C while its chunk is run


def write_stopping(path: Path) -> None:
    """Write 20 s whose sixth chunk, at 3.3 s, is the first that stops `Stopping`."""
    mixture = two_voices(20.0).sum(axis=0)
    mixture[round(3.3 * RATE)] = STOP
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, mixture, RATE)


def refuse_to_go_on(mixture: torch.Tensor) -> None:
    if mixture.max() > STOP - 0.01:
        raise KeyboardInterrupt


class Stopping(BandSplit):
    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        refuse_to_go_on(mixture)
        return super().forward(mixture)


class Seeded(BandSplit):
    """Order and level depend on the chunk alone, as with a real network."""

    def generator(self, mixture: torch.Tensor) -> np.random.Generator:
        return np.random.default_rng(int(mixture.abs().sum() * 1e6))


class StoppingSeeded(Seeded):
    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        refuse_to_go_on(mixture)
        return super().forward(mixture)


def test_an_interrupted_run_leaves_nothing_but_its_spool(
    tmp_path: Path, spool_folder: Path
) -> None:
    write_stopping(tmp_path / "in/a.wav")
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run(Stopping(), jobs)
    assert names(tmp_path / "out") == []
    assert names(spool_folder) == []  # short: done again faster than resumed
    assert not [t for t in threading.enumerate() if t.name.startswith(("reader", "writer"))]


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_resumed_run_gives_the_same_bytes(
    lanes: int, tmp_path: Path, spool_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sepcli.separation.pipeline.num_lanes", lambda device: lanes)
    write_stopping(tmp_path / "in/a.wav")
    whole, pieces = (jobs_of(tmp_path / "in", tmp_path / name) for name in ("whole", "pieces"))
    run(Seeded(), whole)
    with pytest.raises(KeyboardInterrupt):
        run(StoppingSeeded(), pieces, OutputOptions(resume=True))
    assert len(names(spool_folder)) == 1
    again = Seeded()
    (outcome,) = run(again, pieces, OutputOptions(resume=True))
    assert outcome.error is None
    plain = Seeded()
    run(plain, jobs_of(tmp_path / "in", tmp_path / "third"))
    assert plain.num_calls - again.num_calls == 5 - 5 % lanes  # five came before; whole pairs count
    for one, other in zip(whole[0].outputs, pieces[0].outputs, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert names(spool_folder) == []


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
    monkeypatch.setattr("sepcli.separation.batch.RESUMABLE_SECONDS", RESUMABLE_SECONDS / 60)
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


def test_recordings_are_read_ahead_but_not_all_at_once(tmp_path: Path) -> None:
    for number in range(48):
        write_mixture(tmp_path / f"in/{number:02}.wav", 0.5, number)
    separator = Separator(Identity(), entry(), SeparationOptions(device="cpu"))
    read: list[int] = []
    outcomes: Iterator[Outcome] = separate_jobs(
        separator.pipeline,
        jobs_of(tmp_path / "in", tmp_path / "out"),
        OutputOptions(),
        on_read=lambda recording: read.append(1),
    )
    next(outcomes)
    assert len(read) <= SHORT_AHEAD + MOST_WAITING + LANES
    assert len(list(outcomes)) == 47


def test_two_runs_on_one_output_folder_do_not_spoil_each_other(tmp_path: Path) -> None:
    for number in range(6):
        write_mixture(tmp_path / f"in/{number}.wav", 0.5, number)
    run(Identity(), jobs_of(tmp_path / "in", tmp_path / "alone"))
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    together = threading.Barrier(2)
    found: list[Outcome] = []

    def one() -> None:
        together.wait()
        found.extend(run(Identity(), jobs))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    failures = [outcome.error for outcome in found if outcome.error is not None]
    assert all("already there" in failure.message for failure in failures)
    assert len(failures) >= 6  # nobody's output was replaced
    assert names(tmp_path / "out") == names(tmp_path / "alone")
    for name in names(tmp_path / "out"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


@contextmanager
def interrupted_soon() -> Iterator[None]:
    """Press Ctrl-C in half a second, when the reader waits; the block must end soon."""
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    started = time.monotonic()
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        timer.cancel()
    assert time.monotonic() - started < 0.5 + 2.0  # half a second, on a machine that is free


def test_ctrl_c_ends_the_waiting_for_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    jobs = [Job(None, (tmp_path / "out/1.wav", tmp_path / "out/2.wav"))]
    with os.fdopen(reading) as stdin, os.fdopen(writing, "wb", buffering=0) as feeder:
        monkeypatch.setattr("sys.stdin", stdin)
        feeder.write(b"RIFF....WAVE")
        with interrupted_soon():
            run(Identity(), jobs)
    assert names(tmp_path) == []


@pytest.mark.parametrize("stalls", ["exec sleep 60", "kill -STOP $$"])
def test_ctrl_c_ends_the_waiting_for_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stalls: str
) -> None:
    program = tmp_path / "bin/ffmpeg"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n{stalls}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    source = tmp_path / "in/a.m4a"
    source.parent.mkdir()
    source.write_bytes(b"no format that libsndfile knows")
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    with interrupted_soon():
        run(Identity(), jobs)
    with pytest.raises(ProcessLookupError):  # it was ended, and reaped
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert names(tmp_path / "out") == []
