"""Every published kind of repository, in miniature, through the real client to the numbers."""

import dataclasses
import json
import os
import shutil
import tomllib
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from sepcli.errors import ModelError, UsageError, WeightsError
from sepcli.models.cache import cached_files
from sepcli.models.entry import ModelEntry
from sepcli.models.load import LoadedModel, load_model
from sepcli.models.registry import find_entry, user_table_path
from sepcli.models.resolve import resolve_model
from tests.hub import HUB_DATA, Hub, set_client

TOLERANCE = 1e-5  # of the largest output; the published float32 is within 1.2e-6 of its float64
MINIATURES = sorted(path.name for path in HUB_DATA.iterdir() if path.is_dir())
# Two repositories say nothing about their sizes: the miniature's stand beside it, for the user's
# own table to say.
UNDESCRIBED = {"yipjiaqi--spgm": "spgm", "alibabasglab--MossFormer2_SS_16K": "mossformer2-ss-16k"}


def _repo(miniature: str) -> str:
    return miniature.split("__")[0].replace("--", "/")


def _entry_name(repo: str) -> str:
    table = tomllib.loads((Path(__file__).parents[2] / "models.toml").read_text())
    return next(name for name, body in table.items() if body.get("repo") == repo)


def _write_user_table(miniature: str) -> None:
    """Give the undescribed miniature an entry in the user's table, under the published name."""
    stem = miniature.split("__")[0]
    sizes = json.loads((HUB_DATA / f"{stem}.config.json").read_text())
    if stem == "yipjiaqi--spgm":
        entry, architecture, style, files = "spgm", "spgm", "speechbrain", list(SPGM_FILES)
        config = {"channels": 12, "segment": 50, "blocks": 2, "layers": 1, "heads": 4, "hidden": 20}
        assert sizes["config"]["encoder_out_nchannels"] == 12
    else:
        entry, architecture, style = "mossformer2-ss-16k", "mossformer2", "clearvoice"
        files = ["last_best_checkpoint", "last_best_checkpoint.pt"]
        config = {
            "channels": sizes["encoder_embedding_dim"],
            "layers": sizes["num_mossformer_layer"],
            "memory_channels": sizes["inner_channels"],
            "group": sizes["group_size"],
            "query_channels": sizes["query_key_dim"],
        }
    lines = [f"[{entry}]", f'repo = "{_repo(miniature)}"', f"files = {json.dumps(files)}"]
    lines += [f'architecture = "{architecture}"', f'format = "{style}"', "speakers = 2"]
    lines += [f"sample_rate = {8000 if entry == 'spgm' else 16000}", f"[{entry}.config]"]
    lines += [f"{key} = {value}" for key, value in config.items()]
    user_table_path().parent.mkdir(parents=True)
    user_table_path().write_text("\n".join(lines))


SPGM_FILES = ("encoder.ckpt", "masknet.ckpt", "decoder.ckpt")


def _assert_right(loaded: LoadedModel, miniature: str) -> None:
    recorded = load_file(HUB_DATA / f"{miniature}.expected.safetensors")
    wanted = recorded["out"]
    if wanted.shape[1] == recorded["in"].shape[1]:
        wanted = wanted.transpose(1, 2)  # published as [batch, time, speakers]
    with torch.inference_mode():
        estimates = loaded.network(recorded["in"])
    assert estimates.shape[1] == loaded.entry.speakers
    assert estimates.shape[-1] == recorded["in"].shape[-1]
    # speakers who are not there, and samples that fill no frame: some leave them out, we say zero
    absent = [ours - theirs for ours, theirs in zip(estimates.shape, wanted.shape, strict=True)]
    wanted = functional.pad(wanted, (0, absent[2], 0, absent[1]))
    error = float((estimates - wanted).abs().max() / wanted.abs().max())
    assert error < TOLERANCE
    assert not loaded.network.training


@pytest.mark.parametrize("miniature", MINIATURES)
def test_a_repository_loads_by_its_name_on_the_hub(hub: Hub, miniature: str) -> None:
    repo = _repo(miniature)
    hub.serve(repo, miniature)
    if miniature.split("__")[0] in UNDESCRIBED:
        _write_user_table(miniature)
    # A revision other than the table's, since the digests there are those of the real files.
    entry = resolve_model(f"hf:{repo}", revision="main")
    loaded = load_model(entry)
    assert loaded.entry.name == f"hf:{repo}"
    _assert_right(loaded, miniature)
    asked = len(hub.requests)
    load_model(resolve_model(f"hf:{repo}", revision="main"))
    assert len(hub.requests) == asked


@pytest.mark.parametrize("miniature", [name for name in MINIATURES if "__" not in name])
def test_a_repository_loads_by_its_entrys_name(hub: Hub, miniature: str) -> None:
    repo = _repo(miniature)
    hub.serve(repo, miniature)
    if miniature in UNDESCRIBED:
        _write_user_table(miniature)
        name = UNDESCRIBED[miniature]
    else:
        name = _entry_name(repo)
    entry = dataclasses.replace(resolve_model(name), sha256=MappingProxyType({}))
    _assert_right(load_model(entry), miniature)


@pytest.mark.parametrize("miniature", ["JorisCos--ConvTasNet_Libri3Mix_sepclean_16k"])
def test_a_repository_outside_the_table_describes_itself(hub: Hub, miniature: str) -> None:
    hub.serve("someone/else", miniature)
    entry = resolve_model("hf:someone/else")
    assert (entry.architecture, entry.format) == ("convtasnet", "asteroid")
    assert (entry.speakers, entry.sample_rate, entry.revision) == (3, 16000, "main")
    _assert_right(load_model(entry), miniature)


@pytest.mark.parametrize(
    ("miniature", "architecture"),
    [
        ("speechbrain--sepformer-libri3mix", "sepformer"),
        ("speechbrain--resepformer-wsj02mix", "resepformer"),
        ("JusperLee--TIGER-speech__bin", "tiger"),
        ("JusperLee--TDANetBest-2ms-LRS2", "tdanet"),
        ("yipjiaqi--spgm-base__nested", "spgm"),
        ("shinuh--sr-corrnet-ss-1ch-whamr", "srcorrnet"),
    ],
)
def test_formats_are_told_apart(hub: Hub, miniature: str, architecture: str) -> None:
    hub.serve("someone/else", miniature)
    assert resolve_model("hf:someone/else").architecture == architecture


def test_the_digests_of_the_table_refuse_other_files(hub: Hub) -> None:
    hub.serve("JusperLee/TIGER-speech", "JusperLee--TIGER-speech")
    with pytest.raises(WeightsError, match="is not the file that is known") as caught:
        load_model(resolve_model("tiger-speech"))
    assert "--revision main" in caught.value.hint


def test_the_founding_name_falls_back_and_says_so(hub: Hub, tmp_path: Path) -> None:
    readme = tmp_path / "repo"
    readme.mkdir()
    (readme / "README.md").write_text("moved")
    hub.serve("yipjiaqi/spgm", readme)
    hub.serve("yipjiaqi/spgm-base", "yipjiaqi--spgm-base")
    loaded = load_model(resolve_model("spgm"))
    assert loaded.entry.name == "spgm-base"
    assert loaded.note == "yipjiaqi/spgm does not hold the weights of spgm; using spgm-base"
    _assert_right(loaded, "yipjiaqi--spgm-base")


def test_a_repository_of_no_known_format(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing")
    hub.serve("a/b", tmp_path)
    with pytest.raises(ModelError, match="format of the repository is not recognised: a/b"):
        resolve_model("hf:a/b")
    with pytest.raises(WeightsError, match="no such repository on the hub"):
        resolve_model("hf:a/absent")
    with pytest.raises(ModelError, match="not a repository of the hub"):
        resolve_model("hf:a")


def test_offline_an_unknown_repository_is_said_to_be_absent(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_client(monkeypatch, HF_HUB_OFFLINE=True)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set: a/b") as caught:
        resolve_model("hf:a/b")
    assert "sepcli download hf:a/b" in caught.value.hint


BODY = """
architecture = "convtasnet"
format = "safetensors"
files = ["model.safetensors"]
speakers = 2
sample_rate = 8000
[config]
num_speakers = 2
num_filters = 6
bottleneck = 4
hidden = 5
skip = 4
num_blocks = 1
num_repeats = 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder as `sepcli train` writes it."""
    from sepcli.networks.convtasnet import Config, Network

    folder = tmp_path / "mine"
    folder.mkdir()
    config = tomllib.loads(BODY)["config"]
    save_file(Network(Config(**config)).state_dict(), folder / "model.safetensors")
    (folder / "model.toml").write_text(BODY)
    return folder


def _change(folder: Path, old: str, new: str) -> ModelEntry:
    file = folder / "model.toml"
    file.write_text(file.read_text().replace(old, new))
    return resolve_model(str(folder))


def test_a_folder_loads(hub: Hub, folder: Path) -> None:
    network = load_model(resolve_model(str(folder))).network
    weights = load_file(folder / "model.safetensors")
    assert all(torch.equal(tensor, weights[key]) for key, tensor in network.state_dict().items())
    assert hub.requests == []


def test_a_folder_on_the_hub_loads(hub: Hub, folder: Path) -> None:
    hub.serve("me/mine", folder)
    loaded = load_model(resolve_model("hf:me/mine"))
    assert loaded.entry.files == ("model.safetensors",)


def test_what_folders_cannot_do(hub: Hub, folder: Path) -> None:
    with pytest.raises(UsageError, match="a model folder has no revision"):
        resolve_model(str(folder), revision="main")
    with pytest.raises(ModelError, match="no such model folder"):
        resolve_model(str(folder / "absent"))
    with pytest.raises(ModelError, match="unknown model: absent"):
        resolve_model("absent")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"convtasnet"', '"convtasnot"', "unknown architecture of model .*: convtasnot"),
        ('"safetensors"', '"safetensor"', "unknown format of model .*: safetensor"),
        ("hidden = 5", "hiden = 5", "unknown key in configuration of model .*: hiden"),
        ("hidden = 5", "hidden = 1000000000", "hidden must be at most"),
        ("hidden = 5", "hidden = 7", "of another shape"),
        ("num_blocks = 1", "num_blocks = 2", "missing .*masker"),
        ("speakers = 2\nsample", "speakers = 3\nsample", "promises num_speakers 3, .* has 2"),
    ],
)
def test_a_wrong_folder_is_named_in_one_line(
    hub: Hub, folder: Path, old: str, new: str, message: str
) -> None:
    entry = _change(folder, old, new)
    with pytest.raises((ModelError, WeightsError), match=message) as caught:
        load_model(entry)
    assert str(folder) in caught.value.message
    assert "\n" not in caught.value.message


def test_code_in_a_repositorys_checkpoint_is_not_run(hub: Hub, tmp_path: Path) -> None:
    repo, mark = tmp_path / "repo", tmp_path / "mark"
    shutil.copytree(HUB_DATA / "JorisCos--ConvTasNet_Libri2Mix_sepclean_8k", repo)

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {mark}",)

    torch.save({"model_name": Evil(), "model_args": {}}, repo / "pytorch_model.bin")
    hub.serve("a/b", repo)
    with pytest.raises(WeightsError, match="more than tensors"):
        resolve_model("hf:a/b")
    assert not mark.exists()


@pytest.mark.parametrize("linked", [True, False])
def test_a_damaged_file_is_fetched_again_once(hub: Hub, folder: Path, linked: bool) -> None:
    hub.serve("me/mine", folder)
    entry = resolve_model("hf:me/mine")
    load_model(entry)
    cached = cached_files(entry)
    assert cached is not None
    path = cached["model.safetensors"]
    content = path.read_bytes()
    if not linked:  # as in a cache on a disk without links, where no name tells the digest
        path.unlink()
    path.write_bytes(content[:-1])
    assert load_model(entry).network
    assert path.read_bytes() == content
    assert hub.count("GET", "model.safetensors") == 2


def test_a_file_that_is_damaged_on_the_hub_is_an_error(hub: Hub, folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    hub.serve("me/mine", folder)
    with pytest.raises(WeightsError, match="damaged"):
        load_model(resolve_model("hf:me/mine"))
    assert hub.count("GET", "model.safetensors") == 2


def test_a_revision_takes_the_place_of_the_entrys() -> None:
    entry = resolve_model("sepformer-wsj02mix", revision="main")
    assert (entry.revision, dict(entry.sha256)) == ("main", {})
    assert resolve_model("sepformer-wsj02mix") == find_entry("sepformer-wsj02mix")


def test_a_repository_of_the_same_layout_loads_by_its_entrys_name(hub: Hub) -> None:
    miniature = "speechbrain--resepformer-wsj02mix"
    hub.serve("Jahmori-R/resepformer-librimix2spk", miniature)
    _assert_right(load_model(resolve_model("resepformer-libri2mix")), miniature)
