"""Decoded speech that is kept is the speech that was read, until a recording changes."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.errors import OutputError
from sepcli.training import decoded
from sepcli.training.dataset import Speech, find_speech, read_speech
from sepcli.training.decoded import read_decoded

from .conftest import RATE, voice

SPEEDS = (1.0, 0.9)


def read(speech_folder: Path, kept: Path) -> Speech:
    return read_decoded(find_speech(speech_folder), RATE, kept, "train", speeds=SPEEDS)


def test_it_is_the_speech_that_was_read(
    speech_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(speech_folder / "corpus0" / "speaker0" / "bad.wav", voice(0, 0.05), RATE)
    direct = read_speech(find_speech(speech_folder), RATE, speeds=SPEEDS)
    read(speech_folder, tmp_path / "kept")
    monkeypatch.setattr(decoded, "read_speech", None)  # from here on nothing is decoded
    again = read(speech_folder, tmp_path / "kept")
    assert again.speakers == direct.speakers and again.weights == direct.weights
    assert again.skipped.lines() == direct.skipped.lines() != []
    for one, other in zip(again.signals, direct.signals, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            for a, b in zip(mine, theirs, strict=True):
                np.testing.assert_array_equal(a, b)


def test_a_changed_recording_is_read_again(speech_folder: Path, tmp_path: Path) -> None:
    before = read(speech_folder, tmp_path / "kept").seconds
    soundfile.write(speech_folder / "corpus0" / "speaker0" / "0.wav", voice(0, 0.9), RATE)
    assert read(speech_folder, tmp_path / "kept").seconds == pytest.approx(before + 0.4)


def test_a_recording_that_is_gone_is_skipped(speech_folder: Path, tmp_path: Path) -> None:
    manifest = speech_folder / "list.csv"
    lines = ["path,speaker", "corpus0/speaker0/0.wav,a", "corpus0/speaker2/0.wav,b", "gone.wav,c"]
    manifest.write_text("\n".join(lines))
    for _ in range(2):  # read, then from what was kept
        speech = read_decoded(find_speech(manifest), RATE, tmp_path / "kept", "train")
        assert list(speech.speakers) == ["a", "b"] and speech.skipped.counts == {"not readable": 1}


def test_a_full_disk_is_told_and_leaves_nothing(
    speech_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="no space left on device"):
        read(speech_folder, tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_half_a_cache_is_none(speech_folder: Path, tmp_path: Path) -> None:
    whole = read(speech_folder, tmp_path / "kept")
    (index,) = (tmp_path / "kept").glob("*.json")
    index.unlink()  # as if the first run had been killed before it was done
    assert read(speech_folder, tmp_path / "kept").seconds == whole.seconds


def test_what_is_kept_replaces_what_was_kept(speech_folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    read_decoded(find_speech(speech_folder), RATE, kept, "dev")
    read(speech_folder, kept)
    before = {path.name for path in kept.iterdir()}
    soundfile.write(speech_folder / "corpus0" / "speaker0" / "0.wav", voice(0, 0.9), RATE)
    read(speech_folder, kept)
    after = {path.name for path in kept.iterdir()}
    assert len(before) == len(after) == 4
    assert before & after == {name for name in before if "dev" in name}
