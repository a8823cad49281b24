"""What stops a plot is said before anything is measured."""

import sys

import pytest

from tests.cli.runner import CommandLine

COMMANDS = [("bench", "spgm"), ("evaluate", ".", "--model", "stftformer-8k")]


@pytest.fixture(autouse=True)
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("measured before the plot was checked")

    monkeypatch.setattr("sepcli.evaluation.benchmark.run", refuse)
    monkeypatch.setattr("sepcli.evaluation.dataset.find_items", refuse)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("plot.xyz", "cannot draw a file of this kind: plot.xyz", "name it .png, .svg or .pdf"),
        ("plot", "cannot draw a file of this kind: plot", "name it .png, .svg or .pdf"),
        ("none/plot.png", "no such folder: none", "make it first"),
    ],
)
def test_a_name_that_cannot_be_drawn_to_is_refused(
    sepcli: CommandLine, command: tuple[str, ...], name: str, message: str, hint: str
) -> None:
    done = sepcli(*command, "--plot", name)
    assert done.code == 1
    assert message in done.err and f"hint: {hint}" in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_matplotlib_is_asked_for(
    sepcli: CommandLine, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    done = sepcli(*command, "--plot", "plot.png")
    assert done.code == 1
    assert "hint: install it with: pip install 'sepcli[metrics]'" in done.err
