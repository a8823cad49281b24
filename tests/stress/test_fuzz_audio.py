"""A short run of the fuzzer; the long one is run by hand: python -m tests.stress.fuzz_audio."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_hundred_damaged_files():
    arguments = ["--count", "200", "--first", "500000", "--without-ffmpeg"]
    command = [sys.executable, "-m", "tests.stress.fuzz_audio", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    outcomes = dict(line.split(maxsplit=1)[::-1] for line in result.stdout.splitlines())
    assert int(outcomes["read"]) > 20  # it is not that everything is refused
    assert int(outcomes["read with warnings"]) > 5
    assert int(outcomes["AudioError"]) > 20


def test_the_fuzzer_sees_crashes_hangs_and_wrong_errors(tmp_path):
    """A fuzzer that cannot fail proves nothing: three faults are put in its way."""
    program = """
import ctypes, sys, time
from tests.stress import fuzz_audio

def check_file(path, index):
    if index == 1:
        ctypes.string_at(0)
    if index == 2:
        time.sleep(60)
    if index == 3:
        raise ValueError("not a SepcliError")
    return "read"

fuzz_audio.check_file = check_file
sys.exit(not fuzz_audio.fuzz(0, 5, 2.0, 4 << 30, None))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode == 1
    for fault in ("FAILED crash (-11)", "FAILED hang", "FAILED ValueError"):
        assert f"1 {fault}" in result.stdout
    assert "2 read" in result.stdout
