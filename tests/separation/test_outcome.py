from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.separation.writing import OutputOptions
from tests.doubles import RATE, Identity, conversation
from tests.separation.runs import (
    both_modes,
    jobs_of,
    names,
    run,
    run_counting,
    run_knowing,
)


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


@both_modes
def test_hum_is_no_speech_and_it_is_said_where_it_stays(tmp_path: Path, mode: str) -> None:
    """Two seconds of speech, two of hum alone, and so on; the recording itself keeps the hum."""
    speech = conversation("0202", 2.0)
    speech = np.insert(speech, 4 * RATE, np.zeros(2 * RATE, np.float32))
    hum = 0.1 * np.sin(2 * np.pi * 50 * np.arange(len(speech)) / RATE)
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in/a.wav", speech + hum, RATE, "FLOAT")
    jobs = jobs_of(tmp_path / "in", tmp_path / "out")
    (outcome,) = run(Identity((0.5, 0.5)), jobs, mode=mode)
    assert outcome.delivery is not None
    between = [t for t in outcome.delivery.turns if t.start_seconds < 5 < t.stop_seconds]
    assert between == []
    within = slice(RATE // 2, 3 * RATE // 2)
    first = soundfile.read(outcome.outputs[0])[0][within]
    heard = first @ hum[within] / np.square(hum[within]).sum()
    taken_out = "hum or rumble below speech was taken out"
    if mode == "original":
        assert heard == pytest.approx(1.0, abs=0.05)
        stays = ", it stays where one speaks alone: --outside-overlap separated takes it out there"
        assert outcome.notes == (taken_out + " in overlaps" + stays,)
    else:
        assert abs(heard) < 0.05
        assert outcome.notes == (taken_out,)


def test_recordings_are_skipped_where_as_many_are_there_whatever_they_are_called(
    tmp_path: Path,
) -> None:
    talk, voices = {"a": "0101"}, {"alice": "0"}
    run_knowing(tmp_path, talk, voices, people=2)
    assert names(tmp_path / "out") == ["a_alice.wav", "a_spk2.wav"]
    skipping = OutputOptions(skip_existing=True)
    (again,) = run_knowing(tmp_path, talk, voices, skipping, people=2)
    assert again.skipped
    assert {path.name for path in again.outputs} == {"a_alice.wav", "a_spk2.wav"}
    assert sorted(map(again.job.name_of, again.outputs)) == ["alice", "spk2"]
    (tmp_path / "out/a_spk2.wav").unlink()
    (partly,) = run_knowing(tmp_path, talk, voices, skipping, people=2)
    assert partly.error is not None
    assert "only some of the outputs are there" in partly.error.message


def test_one_person_alone_is_skipped_where_their_file_is_there(tmp_path: Path) -> None:
    talk, voices, skipping = {"a": "0101"}, {"alice": "0"}, OutputOptions(skip_existing=True)
    for is_skipped in (False, True):
        (outcome,) = run_knowing(tmp_path, talk, voices, skipping, only="alice")
        assert (outcome.skipped, outcome.error) == (is_skipped, None)
        assert [path.name for path in outcome.outputs] == ["a_alice.wav"]


def test_files_of_an_earlier_run_that_are_none_now_are_told(tmp_path: Path) -> None:
    talk = {"a": "0101"}
    run_knowing(tmp_path, talk, {}, people=2)
    (outcome,) = run_knowing(tmp_path, talk, {"alice": "0"}, OutputOptions(overwrite=True), 2)
    beside = f"another speaker's file lies there, not of this run: {tmp_path}/out/a_spk1.wav"
    assert outcome.warnings == (beside,)
    assert names(tmp_path / "out") == ["a_alice.wav", "a_spk1.wav", "a_spk2.wav"]


def test_a_file_of_more_speakers_than_were_asked_for_is_told(tmp_path: Path) -> None:
    for people, overwrite, told in ((3, False, 0), (2, True, 1), (3, True, 0)):
        options = OutputOptions(overwrite=overwrite)
        outcome = run_counting(tmp_path, conversation("01", 1.0), options, people)
        beside = f"another speaker's file lies there, not of this run: {tmp_path}/out/a_spk3.wav"
        assert outcome.warnings == (beside,) * told
        assert (tmp_path / "out/a_spk3.wav").exists()
