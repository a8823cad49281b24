import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.table import Table

from sepcli.cli import console
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


def test_results_on_a_terminal_are_lines_of_their_own_and_move_no_cursor(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    console.result_json({"n": 1}, {"n": 2})
    console.result("a\x1b[2Jb.wav")
    console.result_json()
    assert capfd.readouterr().out == '{"n": 1}\n{"n": 2}\na\\x1b[2Jb.wav\n'


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


class Terminal(io.StringIO):
    """A terminal for the test; what is drawn on it can be read."""

    def isatty(self) -> bool:
        return True


def make_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return what stands for stderr from here on; no fixture, or pytest would put its own back."""
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return stream


@pytest.mark.parametrize(
    ("unit", "shown"), [("audio", "25%"), ("items", "25%"), ("bytes", "10/40 bytes")]
)
def test_long_work_shows_a_bar_that_goes_away(
    monkeypatch: pytest.MonkeyPatch, unit: str, shown: str
) -> None:
    terminal = make_terminal(monkeypatch)
    monkeypatch.setattr(console, "BAR_DELAY_SECONDS", 0.0)
    with console.progress("one\ntwo", 10, unit=unit) as bar:
        bar.advance(4)
        bar.update(completed=10, total=40, description="three")
        wait_until(lambda: "three" in terminal.getvalue())
    drawn = terminal.getvalue()
    assert shown in drawn
    assert "\n two" not in drawn
    assert drawn.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")  # the cursor is back, the line is gone


def test_a_name_is_no_markup_and_leaves_room_for_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = make_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(console, "BAR_DELAY_SECONDS", 0.0)
    with console.progress("talk [red] [/b]" + 100 * "n", 10) as bar:
        bar.update(completed=5)
        wait_until(lambda: "50%" in terminal.getvalue())
    assert "talk [red] [/b]n" in terminal.getvalue() and "…" in terminal.getvalue()
    assert "━" in terminal.getvalue() and "50%" in terminal.getvalue()


def test_a_terminal_that_knows_ascii_only_is_drawn_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding in ("ascii", "utf-8"):
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding))
        drawn = console._console(file=console._Stderr()).options
        assert drawn.ascii_only == (encoding == "ascii")


def test_short_work_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = make_terminal(monkeypatch)
    with console.progress("work", 10) as bar:
        bar.advance(10)
    assert "work" not in terminal.getvalue()


def test_a_quiet_run_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = make_terminal(monkeypatch)
    monkeypatch.setattr(console, "BAR_DELAY_SECONDS", 0.0)
    console.configure(quiet=True)
    with console.progress("work", 10) as bar:
        bar.advance(10)
    assert terminal.getvalue() == ""


def wait_until(holds: Callable[[], bool]) -> None:
    """Return as soon as a condition holds; a bar draws itself in its own time."""
    end = time.monotonic() + 10
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)


def test_a_table_in_a_pipe_is_as_wide_as_it_needs(capfd: pytest.CaptureFixture[str]) -> None:
    console.show("x" * 150)
    assert capfd.readouterr().out == "x" * 150 + "\n"


def test_a_stream_without_bytes_takes_results_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    console.result("a.wav")
    assert stream.getvalue() == "a.wav\n"


@pytest.mark.parametrize("call", ["console.result('x')", "console.show('x')"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_an_output_that_takes_no_more_is_told(call: str) -> None:
    code = f"from sepcli.cli import app as cli, console; cli.app = lambda **_: {call}"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", f"{code}; cli.main()"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "error: cannot write (no space left on device): standard output\n"
        "hint: check the room where it goes: df -h\n"
    )


@pytest.mark.parametrize("call", ["console.result('x')", "console.show('x')"])
def test_a_closed_output_takes_nothing(call: str) -> None:
    code = f"from sepcli.cli import app as cli, console; cli.app = lambda **_: {call}"
    command = '"$0" -c "$1" >&-'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, f"{code}; cli.main()"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_gets_the_number_of_a_closed_stream(closed: str) -> None:
    code = """
import os
from sepcli.cli import app as cli
cli.app = lambda **_: os.open(os.devnull, os.O_RDONLY)
cli.main()"""
    done = subprocess.run(["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, code])
    assert done.returncode > 2  # that is where libraries write what they have to say


SAY = """
    console.note("by the way")
    console.error(AudioError("broken: x.wav", "copy it again"))"""
WARN = """
    warnings.warn("by the way")"""
DRAW = """
    with console.progress("work", 10) as bar:
        time.sleep(0.5)
        bar.advance(3)"""
NOISE = """
    with without_mpg123():
        os.write(2, b"something else")"""


@pytest.mark.parametrize("work", [SAY, WARN, DRAW, NOISE])
@pytest.mark.parametrize("kind", ["full", "broken pipe"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_work_goes_on_where_stderr_takes_no_more(work: str, kind: str) -> None:
    code = f"""
import os, time, warnings
from sepcli.audio.library_noise import without_mpg123
from sepcli.cli import app as cli, console
from sepcli.errors import AudioError
def work(**_):{work}
    console.result("done")
    return 3
cli.app, console.BAR_DELAY_SECONDS = work, 0.0
cli.main()"""
    if kind == "full":
        stderr = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, stderr = os.pipe()
        os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=stderr,
        # a terminal, for the bar; buffered, as usual
        env=os.environ | {"FORCE_COLOR": "1", "TERM": "xterm", "PYTHONUNBUFFERED": ""},
    )
    os.close(stderr)
    assert (done.returncode, done.stdout) == (3, b"done\n")


def test_no_bar_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with console.progress("work", 10) as bar:
        bar.advance(3)
        bar.update(completed=4, total=11, description="more")
    assert capfd.readouterr() == ("", "")


def table(width: int) -> Table:
    made = Table(box=None)
    made.add_column("x" * width, no_wrap=True)
    return made


def test_nothing_of_a_table_is_cut_short(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    for terminal, width in (("", 40), ("1", 40), ("1", 25)):
        if terminal:
            monkeypatch.setenv("FORCE_COLOR", terminal)  # rich takes it for a terminal
        console.show(table(width))
        assert "x" * width in capfd.readouterr().out
        console.show(table(width), narrow=table(5))
        shown = 5 if terminal and width > 30 else width
        assert capfd.readouterr().out.count("x") == shown
