"""The main job: `sepcli separate mix.wav --model spgm`, with weights from a hub."""

import dataclasses
from pathlib import Path
from types import MappingProxyType

import pytest
import soundfile

from sepcli.separation.speakers.embedding.voices import ECAPA
from tests.cli.runner import CommandLine
from tests.doubles import RATE, two_voices
from tests.hub import HUB_DATA, Hub

# `spgm` as in the table, but as narrow as the weights in tests/data/hub
NARROW = """
[spgm]
architecture = "spgm"
repo = "yipjiaqi/spgm"
fallback = "narrow-base"
format = "speechbrain"
files = ["encoder.ckpt", "masknet.ckpt", "decoder.ckpt"]
speakers = 2
sample_rate = 8000
chunk_seconds = 1.0
overlap_seconds = 0.4
[spgm.config]
num_speakers = 2
channels = 12
kernel_size = 16
segment = 50
blocks = 2
layers = 1
heads = 4
hidden = 20
pool = "attention"
norm = "global"
norm_first = true
positions = true
skip = true
extra_linear = false

[narrow-base]
architecture = "spgm"
repo = "yipjiaqi/spgm-base"
format = "mixin"
files = ["config.json", "model.safetensors|pytorch_model.bin"]
speakers = 2
sample_rate = 8000
"""


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    path = tmp_path / "mix.wav"
    soundfile.write(path, two_voices(3.0).sum(axis=0), RATE)
    return path


@pytest.fixture
def narrow_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "models.toml"
    table.write_text(NARROW)
    monkeypatch.setattr("sepcli.models.registry.user_table_path", lambda: table)


@pytest.mark.usefixtures("narrow_table")
def test_weights_are_fetched_once(hub: Hub, sepcli: CommandLine, mixture: Path) -> None:
    hub.serve("yipjiaqi/spgm", "yipjiaqi--spgm")
    first = sepcli("separate", mixture, "--model", "spgm")
    assert first.code == 0, first.err
    assert first.lines == ["separated/mix_spk1.wav", "separated/mix_spk2.wav"]
    assert hub.count("GET", ".ckpt") == 3
    num_requests = len(hub.requests)
    second = sepcli("separate", mixture, "--model", "spgm", "--overwrite")
    assert second.code == 0, second.err
    assert len(hub.requests) == num_requests


@pytest.mark.usefixtures("narrow_table")
def test_the_fallback_is_used_and_said(hub: Hub, sepcli: CommandLine, mixture: Path) -> None:
    hub.serve("yipjiaqi/spgm-base", "yipjiaqi--spgm-base")
    done = sepcli("separate", mixture, "--model", "spgm")
    assert done.code == 0, done.err
    fetching, fallback = done.err.splitlines()
    assert fetching == "fetching weights from the hub: spgm"
    assert "narrow-base" in fallback


def test_a_repository_outside_the_table(hub: Hub, sepcli: CommandLine, mixture: Path) -> None:
    hub.serve("somebody/else", "yipjiaqi--spgm-base__bin")
    done = sepcli("separate", mixture, "--model", "hf:somebody/else")
    assert done.code == 0, done.err
    assert len(done.lines) == 2


def test_a_repository_that_is_not_there(hub: Hub, sepcli: CommandLine, mixture: Path) -> None:
    done = sepcli("separate", mixture, "--model", "hf:somebody/missing")
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert "\nhint: " in done.err
    assert "Traceback" not in done.err


def test_a_gated_repository_says_how_to_get_in(
    hub: Hub, sepcli: CommandLine, mixture: Path
) -> None:
    hub.serve("somebody/gated", "yipjiaqi--spgm-base")
    hub.statuses = {"HEAD": [403] * 9, "GET": [403] * 9}
    hub.error_code = "GatedRepo"
    done = sepcli("separate", mixture, "--model", "hf:somebody/gated")
    assert done.code == 1
    assert "hf auth login" in done.err


@pytest.fixture
def narrow_voices(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.serve(ECAPA.repo, HUB_DATA.parent / "voices" / "speechbrain--spkrec-ecapa-voxceleb")
    known = dataclasses.replace(ECAPA, sha256=MappingProxyType({}))
    monkeypatch.setattr("sepcli.separation.speakers.embedding.voices.VOICES", {"ecapa": known})


@pytest.mark.usefixtures("narrow_voices")
def test_voices_from_the_hub_tell_who_is_who(hub: Hub, sepcli: CommandLine, mixture: Path) -> None:
    done = sepcli("separate", mixture, "--voices", "ecapa", "--chunk", "1")
    assert done.code == 0, done.err
    assert "fetching voices from the hub: ecapa" in done.err.splitlines()
    assert hub.count("GET", "embedding_model.ckpt") == 1
    again = sepcli("separate", mixture, "--voices", "ecapa", "--chunk", "1", "--overwrite")
    assert again.code == 0, again.err
    assert "fetching" not in again.err


def test_unknown_voices_are_named_before_any_work(
    hub: Hub, sepcli: CommandLine, mixture: Path
) -> None:
    done = sepcli("separate", mixture, "--voices", "ecappa")
    assert done.code == 1
    assert done.err.splitlines()[-2:] == [
        "error: unknown voices: ecappa",
        "hint: did you mean ecapa?",
    ]
