"""`sepcli download`: several models, all, and checked again."""

import dataclasses
import importlib
from pathlib import Path
from types import MappingProxyType

import pytest

from sepcli.models.cache import cached_files
from sepcli.models.entry import ModelEntry
from sepcli.models.registry import find_entry, user_table_path
from sepcli.separation.speakers.embedding.voices import ECAPA
from tests.cli.runner import CommandLine
from tests.hub import HUB_DATA, Hub, patient_client

DPRNN = "mpariente/DPRNNTasNet-ks2_WHAM_sepclean"
CONVTASNET = "JorisCos/ConvTasNet_Libri2Mix_sepclean_8k"


@pytest.fixture
def two(hub: Hub) -> Hub:
    """Return a hub with two small repositories that the table knows."""
    for repo in (DPRNN, CONVTASNET):
        hub.serve(repo, repo.replace("/", "--"))
    return hub


def test_fetches_several_and_prints_one_line_each(two: Hub, sepcli: CommandLine) -> None:
    finished = sepcli("download", "dprnn-ks2-wham", f"hf:{CONVTASNET}")
    assert finished.code == 0
    assert [line.split("\t")[:2] for line in finished.lines] == [
        ["dprnn-ks2-wham", "ready"],
        [f"hf:{CONVTASNET}", "ready"],
    ]
    assert cached_files(find_entry("dprnn-ks2-wham")) is not None
    assert sepcli("download", "dprnn-ks2-wham").code == 0
    assert two.count("GET") == 2


def test_one_failure_does_not_stop_the_others(two: Hub, sepcli: CommandLine) -> None:
    finished = sepcli("download", "absent", "spgm-opt", "dprnn-ks2-wham")
    assert finished.code == 1
    assert [line.split("\t")[0] for line in finished.lines] == ["dprnn-ks2-wham"]
    errors = [line for line in finished.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert errors[0] == "error: unknown model: absent"
    assert "yipjiaqi/spgm-opt" in errors[1]


def test_all_means_the_whole_table(
    two: Hub, sepcli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("dprnn-ks2-wham", "convtasnet-libri2mix-clean-8k")
    entries: dict[str, ModelEntry] = {name: find_entry(name) for name in names}
    command = importlib.import_module("sepcli.cli.download")
    monkeypatch.setattr(command, "load_entries", lambda: entries)
    finished = sepcli("download", "--all")
    assert finished.code == 0
    assert tuple(line.split("\t")[0] for line in finished.lines) == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "no model given"), (("--all", "spgm"), "--all goes"), (("--all", "--revision", "x"), "")],
)
def test_usage(hub: Hub, sepcli: CommandLine, arguments: tuple[str, ...], message: str) -> None:
    finished = sepcli("download", *arguments)
    assert finished.code == 2
    assert message in finished.err


def test_a_fallback_is_said(hub: Hub, sepcli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    hub.serve("yipjiaqi/spgm", tmp_path / "empty")
    hub.serve("yipjiaqi/spgm-base", "yipjiaqi--spgm-base")
    finished = sepcli("download", "spgm")
    assert finished.code == 0
    assert finished.lines[0].startswith("spgm (spgm-base)\tready")
    assert "yipjiaqi/spgm does not hold the weights of spgm; using spgm-base" in finished.err


@pytest.fixture
def mine(hub: Hub, model_folder: Path) -> ModelEntry:
    """Return a user's entry for a repository with a very small network."""
    hub.serve("me/tiny", model_folder)
    body = (model_folder / "model.toml").read_text().replace("[config]", "[mine.config]")
    user_table_path().parent.mkdir(parents=True)
    user_table_path().write_text(f'[mine]\nrepo = "me/tiny"\n{body}')
    return find_entry("mine")


def test_verify_finds_and_mends_what_is_damaged(
    hub: Hub, mine: ModelEntry, sepcli: CommandLine
) -> None:
    assert sepcli("download", "mine").code == 0
    found = cached_files(mine)
    assert found is not None
    path = found["model.safetensors"]
    content = path.read_bytes()
    finished = sepcli("download", "--verify")
    # What is inside the package is checked as well, and comes before the user's own.
    assert finished.lines[-1].startswith("mine\tverified\t")
    assert hub.count("GET", "model.safetensors") == 1
    path.resolve().write_bytes(content[:-2] + b"xx")
    assert sepcli("download", "--verify").code == 0
    assert path.read_bytes() == content
    assert hub.count("GET", "model.safetensors") == 2


def test_verify_names_weights_that_do_not_fit(
    hub: Hub, mine: ModelEntry, sepcli: CommandLine
) -> None:
    table = user_table_path()
    table.write_text(table.read_text().replace("hidden = 8", "hidden = 9"))
    finished = sepcli("download", "--verify", "mine")
    assert finished.code == 1
    assert finished.err.startswith("error: weights do not fit model mine: ")


def test_voices_are_fetched_by_name(
    hub: Hub, sepcli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.serve(ECAPA.repo, HUB_DATA.parent / "voices" / "speechbrain--spkrec-ecapa-voxceleb")
    known = {"ecapa": dataclasses.replace(ECAPA, sha256=MappingProxyType({}))}
    for place in ("embedding", "embedding.voices"):
        monkeypatch.setattr(f"sepcli.separation.speakers.{place}.VOICES", known)
    assert sepcli("download", "ecapa").lines == ["ecapa\tready\t0.1 MB"]
    verified = sepcli("download", "ecapa", "--verify")
    assert verified.err == ""
    assert verified.lines == ["ecapa\tverified\t0.1 MB"]
    assert sepcli("download", "ecapa", "--revision", "main").code == 2
    assert sepcli("download", "--verify").lines[-1] == "ecapa\tverified\t0.1 MB"
    refused = sepcli("download", "--verify", "--revision", "main")
    assert (refused.code, refused.err.splitlines()[0]) == (2, "error: --revision is of one model")


@patient_client
def test_a_wait_that_the_hub_asks_for_is_said(
    two: Hub, sepcli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    two.statuses["GET"] = [429]
    two.headers = {"Retry-After": "30"}
    finished = sepcli("download", "dprnn-ks2-wham")
    assert finished.code == 0
    assert finished.err.splitlines() == [f"server asks to wait 30 s: {DPRNN}/pytorch_model.bin"]
