import json
import os

import pytest

from sepcli import console
from sepcli.errors import AudioError


@pytest.fixture(autouse=True)
def reset() -> None:
    console.configure()


def test_results_go_to_stdout_and_notes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    console.result("a.wav")
    console.note("by the way")
    out, err = capfd.readouterr()
    assert (out, err) == ("a.wav\n", "by the way\n")


def test_a_result_keeps_bytes_that_are_not_utf8(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    console.result(os.fsdecode(b"caf\xe9.wav"))
    assert capfdbinary.readouterr().out == b"caf\xe9.wav\n"


def test_json_is_one_ascii_line(capfd: pytest.CaptureFixture[str]) -> None:
    console.result_json({"input": "a\nb\udce9", "n": 1})
    line = capfd.readouterr().out
    assert line.count("\n") == 1
    assert json.loads(line)["n"] == 1


def test_quiet_keeps_errors_only(capfd: pytest.CaptureFixture[str]) -> None:
    console.configure(quiet=True)
    console.note("no")
    console.warn("no", "no")
    console.detail("no")
    console.error(AudioError("broken: x.wav", "copy it again"))
    assert capfd.readouterr().err == "error: broken: x.wav\nhint: copy it again\n"


def test_verbose_adds_the_cause(capfd: pytest.CaptureFixture[str]) -> None:
    console.configure(verbose=True)
    failure = AudioError("broken: x.wav")
    failure.__cause__ = ValueError("bad header")
    console.error(failure)
    console.detail("more")
    assert capfd.readouterr().err.splitlines() == [
        "error: broken: x.wav",
        "cause: ValueError: bad header",
        "more",
    ]


def test_messages_stay_on_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    console.note("a\nb\x1b[31m" + "long " * 60)
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("a\\nb\\x1b[31m")


def test_no_bar_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with console.progress("work", 10) as bar:
        bar.advance(3)
        bar.update(completed=4, total=11, description="more")
    assert capfd.readouterr() == ("", "")
