"""Decoded speech that is kept is the speech that was read, until a recording changes."""

import errno
import os
import platform
import subprocess
import sys
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


KEPT = """
import sys
from pathlib import Path
from resource import getpagesize
from sepcli.memory import keep_freed_memory
from sepcli.training.dataset import find_speech
from sepcli.training.decoded import read_decoded

def private():
    resident, shared = Path("/proc/self/statm").read_text().split()[1:3]
    return (int(resident) - int(shared)) * getpagesize()

keep_freed_memory()
before = private()
speech = read_decoded(find_speech(Path(sys.argv[1])), 8000, Path(sys.argv[2]), "train")
print(sum(len(signal) for voice in speech.signals[0] for signal in voice), private() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="changes glibc only")
def test_what_was_decoded_does_not_stay_in_memory_of_the_process(tmp_path: Path) -> None:
    (tmp_path / "speech" / "a").mkdir(parents=True)
    first = tmp_path / "speech" / "a" / "0.wav"
    soundfile.write(first, np.tile(voice(0, 0.5), 120), 8000, "PCM_16")
    for number in range(1, 40):
        os.link(first, first.with_name(f"{number}.wav"))
    arguments = [sys.executable, "-c", KEPT, str(tmp_path / "speech"), str(tmp_path / "kept")]
    samples, grown = map(int, subprocess.check_output(arguments, text=True).split())
    assert samples == 40 * 60 * 8000
    assert grown < 2 * samples / 4  # bytes; all of it would be 2 a sample
