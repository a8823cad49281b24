"""A command line that makes no sense is told like every other failure: one line and a hint."""

import pytest

from tests.cli.runner import CommandLine


@pytest.mark.parametrize(
    ("arguments", "error", "command"),
    [
        (("seperate", "a.wav"), "no such command 'seperate'. Did you mean 'separate'?", ""),
        (("separate",), "missing argument 'INPUT...'", "separate "),
        (("separate", "a.wav", "--verbos"), "no such option: --verbos", "separate "),
        (("separate", "a.wav", "--chunk", "0"), "invalid value for '--chunk': ", "separate "),
        (
            ("evaluate", "set", "--precision", "int8"),
            "invalid value for '--precision': 'int8' is not one of 'fp32', 'bf16', 'fp16'",
            "evaluate ",
        ),
    ],
)
def test_one_line_and_a_hint(
    sepcli: CommandLine, arguments: tuple[str, ...], error: str, command: str
) -> None:
    done = sepcli(*arguments)
    first, hint = done.err.splitlines()
    assert (done.code, done.out) == (2, "")
    assert first.startswith(f"error: {error}")
    assert hint == f"hint: see: sepcli {command}--help"


def test_no_command_is_help(sepcli: CommandLine) -> None:
    done = sepcli()
    assert done.code == 2
    assert "separate" in done.out + done.err and "error" not in done.err
