"""Nothing but a download that is needed talks to the network."""

import socket
from pathlib import Path

import pytest
import soundfile

from tests.cli.runner import CommandLine
from tests.doubles import RATE, two_voices


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cut sockets off and return the list of attempts."""
    attempts: list[str] = []

    def refuse(*arguments: object, **_: object) -> None:
        attempts.append(repr(arguments))
        raise OSError("there is no network in this test")

    for name in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return attempts


def test_separating_with_weights_at_hand(
    sepcli: CommandLine, model_folder: Path, tmp_path: Path, no_sockets: list[str]
) -> None:
    soundfile.write(tmp_path / "mix.wav", two_voices(1.0).sum(axis=0), RATE)
    done = sepcli("separate", "mix.wav", "--model", model_folder)
    assert done.code == 0, done.err
    assert no_sockets == []


@pytest.mark.parametrize("arguments", [["--help"], ["info"], ["info", "--json"], ["--version"]])
def test_what_only_informs(
    sepcli: CommandLine, no_sockets: list[str], arguments: list[str]
) -> None:
    assert sepcli(*arguments).code == 0
    assert no_sockets == []


def test_a_model_that_is_not_here_says_what_to_do(
    sepcli: CommandLine, tmp_path: Path, no_sockets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    soundfile.write(tmp_path / "mix.wav", two_voices(1.0).sum(axis=0), RATE)
    done = sepcli("separate", "mix.wav", "--model", "spgm-base")
    assert done.code == 1
    assert "sepcli download spgm-base" in done.err
    assert no_sockets == []
    assert not Path("separated").exists()
