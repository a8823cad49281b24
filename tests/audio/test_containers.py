"""What is read when it is named is found in a folder; nothing that ffmpeg reads is barred."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.audio import AudioReader, find_audio_files
from sepcli.audio.containers import CONTAINERS, EXTENSIONS

RATE = 8000
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
# endings of people's recordings, and what ffmpeg must be told to write them
# fmt: off
ENDINGS = {
    "avi": [], "ts": [], "mts": ["-f", "mpegts"], "m4v": ["-f", "mp4"], "mpg": [], "wmv": [],
    "3g2": [], "gsm": ["-c:a", "libgsm"], "bwf": ["-f", "wav"], "mxf": ["-ar", "48000"], "wv": [],
    "ac3": [], "tta": [],
}
# fmt: on


@needs_ffmpeg
def test_every_ending_is_read_and_found(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", np.zeros(RATE) + 0.1, RATE)
    written = {"in.wav"}
    for ending, how in ENDINGS.items():
        command = ["ffmpeg", "-v", "error", "-i", "in.wav", *how, f"x.{ending}"]
        if subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0:
            written.add(f"x.{ending}")
        else:  # a build without that encoder
            (tmp_path / f"x.{ending}").unlink(missing_ok=True)
    assert len(written) > 8
    assert {path.name for path in find_audio_files(tmp_path)} == written
    for name in written:
        with AudioReader(tmp_path / name) as reader:
            num_samples = sum(map(len, reader.blocks()))
            assert 0.9 < num_samples / reader.info.sample_rate < 1.2, name
            assert reader.warnings == ()


@needs_ffmpeg
def test_what_can_name_other_files_is_barred() -> None:
    text = subprocess.run(["ffmpeg", "-hide_banner", "-demuxers"], capture_output=True, text=True)
    known = set(re.sub(r"(?m)^ *D.? +(\S+).*$", r"\1", text.stdout).replace(",", "\n").split("\n"))
    barred = {"concat", "dash", "hls", "imf", "sdp", "rtsp", "lavfi", "image2", "ffmetadata"}
    assert known & barred
    assert not barred & set(CONTAINERS)
    assert not [name for name in CONTAINERS if name.endswith("_pipe")]


def test_endings_are_small_letters_with_a_dot() -> None:
    assert all(re.fullmatch(r"\.[a-z0-9+]+", ending) for ending in EXTENSIONS)
    assert len(set(CONTAINERS)) == len(CONTAINERS)
