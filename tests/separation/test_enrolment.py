"""Voices that are given: which names they may have, and which recordings they cannot be from."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.audio.resample import resample_blocks
from sepcli.errors import AudioError, UsageError
from sepcli.separation.enrolment import (
    MAX_SECONDS,
    check_only,
    enrol,
    parse_voices,
    read_enrolment,
)
from tests.doubles import RATE, conversation, hear_bands


def write(path: Path, waveform: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, rate)
    return path


def test_voices_are_given_one_by_one_and_in_folders(tmp_path: Path) -> None:
    folder = tmp_path / "a=b"
    for name in ("bob.wav", "Éva.flac", "notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    given = [f"alice={tmp_path}/x=y.wav", str(folder)]
    assert parse_voices(given) == {
        "alice": tmp_path / "x=y.wav",
        "bob": folder / "bob.wav",
        "Éva": folder / "Éva.flac",
    }


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["alice"], "neither NAME=FILE nor a folder: alice"),
        (["alice="], "neither NAME=FILE nor a folder: alice="),
        (["=a.wav"], "cannot be a name in file names: ''"),
        ([" =a.wav"], "cannot be a name in file names: ''"),
        (["a/b=a.wav"], "cannot be a name in file names: 'a/b'"),
        (["{stem}=a.wav"], "cannot be a name in file names: '{stem}'"),
        (["..=a.wav"], "cannot be a name in file names: '..'"),
        (["alice=a.wav", "alice=b.wav"], "two voices have one name: alice"),
        (["alice=a.wav", "ALICE=b.wav"], "two voices have one name: ALICE"),
        (["e\u0301=a.wav", "\u00e9=b.wav"], "two voices have one name: \u00e9"),
        (["alice=a.wav", "bob=x/../a.wav"], "one recording for two voices: x/../a.wav"),
    ],
)
def test_what_is_no_voice_is_refused(given: list[str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_voices(given)
    assert caught.value.message == says
    assert caught.value.hint


def test_a_name_and_a_file_may_be_longer_than_a_name_of_a_file() -> None:
    file = "a" * 250 + ".wav"
    assert parse_voices([f"alice={file}"]) == {"alice": Path(file)}


def test_voices_are_not_looked_for_in_sub_folders(tmp_path: Path) -> None:
    (tmp_path / "people").mkdir()
    with pytest.raises(AudioError, match="no recordings in the folder") as caught:
        parse_voices([str(tmp_path)])
    assert caught.value.hint == "put a recording of each person there, called after them"


def test_a_person_in_two_files_of_a_folder_is_refused(tmp_path: Path) -> None:
    for name in ("bob.wav", "bob.flac"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="two voices have one name: bob"):
        parse_voices([str(tmp_path)])


def test_who_alone_is_wanted_must_have_a_voice() -> None:
    assert check_only("bob", ["alice", "bob"]) == "bob"
    assert check_only("Zo\u00eb", ["Zoe\u0308"]) == "Zoe\u0308"  # as disks of a Mac write it
    with pytest.raises(UsageError, match="no voice is called: bo") as caught:
        check_only("bo", ["alice", "bob"])
    assert "bob" in caught.value.hint
    with pytest.raises(UsageError, match="no voice is given for --only bob"):
        check_only("bob", [])


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_a_voice_is_what_it_sounds_like_whatever_its_rate_and_channels(
    tmp_path: Path, rate: int
) -> None:
    speech = np.concatenate(list(resample_blocks([conversation("2", 3.0)], RATE, rate)))
    path = write(tmp_path / "a.wav", np.stack([speech, speech], axis=1), rate)
    known = enrol({"alice": path}, RATE, hear_bands, 0.5)
    assert known is not None
    assert (known.names, known.min_likeness) == (("alice",), 0.5)
    assert known.voices[0] @ hear_bands(conversation("2", 1.5), RATE) > 0.95
    assert enrol({}, RATE, hear_bands, 0.5) is None


def test_recordings_that_tell_no_voice_are_refused(tmp_path: Path) -> None:
    silent = write(tmp_path / "silent.wav", np.zeros(5 * RATE))
    short = conversation("0", 1.0)
    padded = write(tmp_path / "short.wav", np.concatenate([short, np.zeros(9 * RATE)]))
    steady = write(tmp_path / "steady.wav", np.full(5 * RATE, 0.5))
    empty = write(tmp_path / "empty.wav", np.zeros(0))
    (tmp_path / "noise.wav").write_bytes(b"nothing that is a recording")
    kind = "recording" if shutil.which("ffmpeg") else "format that can be read here"
    for path, says in (
        (silent, f"voice of alice is silent: {silent}"),
        (empty, f"voice of alice is silent: {empty}"),
        (steady, "voice of alice is heard for 0."),
        (padded, f"voice of alice is heard for 1.0 s only: {padded}"),
        (tmp_path / "none.wav", "voice of alice: no such file"),
        (tmp_path / "noise.wav", f"voice of alice: not a {kind}"),
    ):
        with pytest.raises(AudioError) as caught:
            read_enrolment("alice", path, RATE)
        assert caught.value.message.startswith(says)
        assert caught.value.hint


def test_long_recordings_are_not_listened_to_for_ever(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.tile(conversation("0", 2.0), 40))
    assert len(read_enrolment("alice", path, RATE)) == MAX_SECONDS * RATE
