"""Runs of the command that are ended at random moments, and what they leave behind.

What stands under a final name is whole, byte for byte what an undisturbed run writes; a run that
could still act left no temporary file, said 130 or 143, and showed no traceback; the next run
finishes the rest and tidies up. `STRESS_ROUNDS=200 python -m pytest -m slow tests/stress` tries
longer than usual.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile

from tests.doubles import RATE, conversation, two_voices, write_model_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

ROUNDS = int(os.environ.get("STRESS_ROUNDS", "30"))
NUM_RECORDINGS = 20
PIPE_BYTES = 1 << 15  # what a pipe takes before anybody reads
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


@dataclass(frozen=True)
class Place:
    """A folder with a model and recordings, and what an undisturbed run makes of these."""

    folder: Path
    expected: dict[str, bytes]
    usual_seconds: float

    def start(self, *arguments: str, **options: object) -> "subprocess.Popen[bytes]":
        """Start `sepcli separate ARGUMENTS… --model tiny -o out`."""
        return subprocess.Popen(
            command(*arguments),
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            **options,  # type: ignore[call-overload]
        )


def command(*arguments: str, out: str = "out") -> list[str]:
    program = [sys.executable, "-m", "sepcli", "separate"]
    return [*program, *arguments, "--model", "./tiny", "-o", out, "--quiet"]


def contents(folder: Path) -> dict[str, bytes]:
    """Return name → bytes of all files in a folder, and in those in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def is_hidden(name: str) -> bool:
    """Return whether a file of `contents` is a temporary one."""
    return Path(name).name.startswith(".")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Yield the folder that all rounds share."""
    folder = tmp_path_factory.mktemp("kills")
    write_model_folder(folder / "tiny")
    (folder / "in").mkdir()
    for number in range(NUM_RECORDINGS):
        mixture = two_voices(1.0 + number % 4, number).sum(axis=0)
        soundfile.write(folder / f"in/{number:02}.wav", mixture, RATE)
    started = time.monotonic()
    subprocess.run(command("in", out="all"), cwd=folder, check=True, stdout=subprocess.DEVNULL)
    yield Place(folder, contents(folder / "all"), time.monotonic() - started)


def moments(place: Place, seed: int) -> Iterator[tuple[int, signal.Signals, float]]:
    """Yield number, signal and moment [s] of every round."""
    chance = random.Random(seed)
    for turn in range(ROUNDS):
        yield turn, SIGNALS[turn % len(SIGNALS)], chance.uniform(0.0, 1.05) * place.usual_seconds


def end(process: "subprocess.Popen[bytes]", number: signal.Signals) -> float:
    """Send a signal and return after how many seconds the process was gone; its stdin is open."""
    process.send_signal(number)
    started = time.monotonic()
    process.wait(timeout=120)
    took = time.monotonic() - started
    assert process.stderr is not None
    with process.stderr as stream:
        said = stream.read()
    assert b"Traceback" not in said, said
    return took


def test_a_folder(place: Place) -> None:
    out = place.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    for turn, number, seconds in moments(place, seed=0):
        process = place.start("in", "--skip-existing")
        time.sleep(seconds)
        end(process, number)
        left = contents(out)
        for name, data in left.items():
            assert name.startswith(".") or data == place.expected[name], name
            assert not name.startswith(".") or number is signal.SIGKILL, name
        if len(left) < len(place.expected):
            assert process.returncode in (-number, 128 + number)
        if turn % 5 == 4:  # finish the rest, then start afresh
            done = subprocess.run(
                command("in", "--skip-existing"),
                cwd=place.folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            if b"only some of the outputs" in done.stderr:  # killed between two names
                subprocess.run(command("in", "--overwrite"), cwd=place.folder, check=True)
            else:
                assert done.returncode == 0, done.stderr
            assert contents(out) == place.expected
            shutil.rmtree(out)


def test_outputs_that_are_being_replaced(place: Place) -> None:
    """Old ones and new ones stand there whole, and the two of a recording are of one kind."""
    out = place.folder / "out"
    old = {name: b"old " + name.encode() for name in place.expected}
    for _, number, seconds in moments(place, seed=1):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        for name, data in old.items():
            (out / name).write_bytes(data)
        process = place.start("in", "--overwrite")
        time.sleep(seconds)
        end(process, number)
        left = contents(out)
        is_new = {}
        for name in place.expected:
            is_new[name] = left[name] != old[name]
            assert left[name] in (old[name], place.expected[name]), name
        hidden = [name for name in left if name.startswith(".")]
        if number is not signal.SIGKILL:
            assert hidden == []
            pairs = [(f"{n:02}_spk1.wav", f"{n:02}_spk2.wav") for n in range(NUM_RECORDINGS)]
            assert [pair for pair in pairs if is_new[pair[0]] != is_new[pair[1]]] == []
        assert not [name for name in hidden if name.endswith(".old")]


@pytest.mark.parametrize("waits_for", ["stdin", "ffmpeg", "stopped ffmpeg"])
def test_waiting(place: Place, waits_for: str) -> None:
    """At a random moment, and in half of the rounds once it surely waits, it ends in a second."""
    out = place.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    environment = os.environ | {"PATH": f"{fake_ffmpeg(place, waits_for)}:{os.environ['PATH']}"}
    (place.folder / "a.m4a").write_bytes(b"no format that libsndfile knows")
    recording = (place.folder / "in/03.wav").read_bytes()
    for turn, number, seconds in moments(place, seed=2):
        process = place.start(
            "-" if waits_for == "stdin" else "a.m4a", stdin=subprocess.PIPE, env=environment
        )
        assert process.stdin is not None
        process.stdin.write(recording[: len(recording) * turn // ROUNDS][:PIPE_BYTES])
        process.stdin.flush()
        # well below the two minutes after which a silent ffmpeg is given up
        time.sleep(min(60.0, seconds if turn % 2 else 2 * place.usual_seconds))
        assert process.poll() is None
        took = end(process, number)
        process.stdin.close()
        # a second is promised; where starting takes more than usual, ending may
        assert took < max(1.0, place.usual_seconds / 4)
        assert process.returncode in (-number, 128 + number)
        assert contents(out) == {}


def fake_ffmpeg(place: Place, kind: str) -> Path:
    """Return a folder with a program `ffmpeg` that never says anything."""
    folder = place.folder / f"bin {kind}"
    folder.mkdir()
    stalls = "kill -STOP $$" if kind.startswith("stopped") else "exec sleep 600"
    (folder / "ffmpeg").write_text(f"#!/bin/sh\n{stalls}\n")
    (folder / "ffmpeg").chmod(0o755)
    return folder


CONVERSATION = (
    *("--speakers", "auto", "--labels", "rttm", "--segments", "out/segments"),
    *("--report", "out/report.html", "--outside-overlap", "original"),
)


@pytest.mark.parametrize("options", [(), CONVERSATION], ids=["usual", "conversation"])
def test_a_recording_that_is_resumed(place: Place, options: tuple[str, ...]) -> None:
    """However often it is ended, what is there is what an undisturbed run writes."""
    environment = os.environ | {"SEPCLI_SPOOL": str(place.folder / "spool")}
    out = place.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    talk = conversation("0102" * 4, 4.0) if options else two_voices(240.0).sum(axis=0)
    soundfile.write(place.folder / "long.wav", talk, RATE)
    started = time.monotonic()
    subprocess.run(
        command("long.wav", *options), cwd=place.folder, check=True, stdout=subprocess.DEVNULL
    )
    usual = time.monotonic() - started
    whole = contents(out)
    shutil.rmtree(out)
    again = ("long.wav", "--resume", "--overwrite", *options)
    chance = random.Random(3)
    num_ended = 0
    for turn in range(ROUNDS):
        process = place.start(*again, env=environment)
        time.sleep(chance.uniform(0.3, 1.0) * usual)
        if process.poll() is None:
            end(process, SIGNALS[turn % len(SIGNALS)])
            num_ended += 1
        left = {name: data for name, data in contents(out).items() if not is_hidden(name)}
        # lines on segments are there before these are: who is killed in between does them again
        assert {name for name, data in left.items() if data != whole[name]} == set()
        if turn % 2:
            shutil.rmtree(out, ignore_errors=True)
    assert num_ended > ROUNDS / 4
    process = place.start(*again, env=environment)
    process.communicate()
    assert process.returncode == 0
    assert contents(out) == whole
    assert [path for path in (place.folder / "spool").rglob("*") if path.is_file()] == []
