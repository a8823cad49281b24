"""A command line that makes no sense is told like every other failure: one line and a hint."""

import pytest

from tests.cli.runner import CommandLine


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("seperate", "a.wav"), "no such command: seperate", "did you mean separate"),
        (("xyz", "a.wav"), "no such command: xyz", "see: sepcli --help"),
        (("separate",), "missing argument 'INPUT...'", "see: sepcli separate --help"),
        (("separate", "a.wav", "--verbos"), "no such option: --verbos", "did you mean --verbose"),
        (("mix", "a", "--json"), "no such option: --json", "see: sepcli mix --help"),
        (
            ("separate", "a.wav", "-", "--resume"),
            "--resume cannot go on with standard input",
            "leave --resume out, or name a file",
        ),
        (
            ("separate", "a.wav", "--chunk", "0"),
            "invalid value for '--chunk': ",
            "see: sepcli separate --help",
        ),
        (
            ("separate", "a.wav", "-o"),
            "option '-o' requires an argument",
            "see: sepcli separate --help",
        ),
        (
            ("evaluate", "set", "--precision", "int8"),
            "invalid value for '--precision': 'int8' is not one of 'fp32', 'bf16', 'fp16'",
            "see: sepcli evaluate --help",
        ),
    ],
)
def test_one_line_and_a_hint(
    sepcli: CommandLine, arguments: tuple[str, ...], error: str, hint: str
) -> None:
    done = sepcli(*arguments)
    first, second = done.err.splitlines()
    assert (done.code, done.out) == (2, "")
    assert first.startswith(f"error: {error}")
    assert second == f"hint: {hint}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("separate", "a.wav", "--segments", ""),
        ("separate", "a.wav", "--segments=", "-q"),
        ("separate", "a.wav", "-o", ""),
        ("separate", "--manifest", ""),
        ("evaluate", "set", "--csv", ""),
        ("mix", "speech", "--output-dir", ""),
        ("mix", "speech", "--rooms", "rooms", "--rooms", ""),
        ("mix", "", "--output-dir", "set", "SPEECH"),
        ("evaluate", "", "--csv", "x", "DATA"),
        ("pack", "speech", "", "OUTPUT"),
    ],
)
def test_an_empty_path_is_not_the_current_folder(
    sepcli: CommandLine, arguments: tuple[str, ...]
) -> None:
    if arguments[-1].isupper():
        *arguments, flag = arguments
    else:
        flag = next(word for word in reversed(arguments) if word.startswith("-") and word != "-q")
        flag = {"-o": "--output-dir"}.get(flag, flag)
    done = sepcli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        f"error: path is empty: {flag.rstrip('=')}",
        "hint: leave it out, or name a file or folder",
    ]


def test_no_command_is_help(sepcli: CommandLine) -> None:
    done = sepcli()
    assert done.code == 2
    assert "separate" in done.out + done.err and "error" not in done.err


@pytest.mark.parametrize("wanted", ["0", "9", "two"])
def test_a_number_of_speakers_is_told_from_other_words(sepcli: CommandLine, wanted: str) -> None:
    done = sepcli("separate", "talk.wav", "--speakers", wanted)
    assert done.code == 2
    assert f"not a number of speakers: {wanted}" in done.err
