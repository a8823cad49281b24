"""Files from an address on the web, with the real client against the loopback server."""

import dataclasses
import hashlib
import threading
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file

import sepcli.models.hub
from sepcli.errors import UsageError, WeightsError
from sepcli.models import web
from sepcli.models.cache import cached_files, place
from sepcli.models.entry import Source
from sepcli.models.hub import fetch_files
from sepcli.models.hub_errors import MissingFileError
from sepcli.models.load import load_model
from sepcli.models.registry import user_table_path
from sepcli.models.resolve import resolve_model
from tests.hub import Hub, resumed_at, set_client

CONTENT = bytes(range(256)) * 512
WEB_DATA = Path(__file__).parents[1] / "data" / "web"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the list that all waiting, ours and the client's, is written to instead of done."""
    seen: list[float] = []
    monkeypatch.setattr("time.sleep", seen.append)
    return seen


@pytest.fixture
def source(hub: Hub, tmp_path: Path) -> Source:
    """Return the source of one file of 128 kB on the server."""
    folder = tmp_path / "web"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "w 1.pth").write_bytes(CONTENT)
    hub.serve("org/name", folder)
    return Source(
        name="x",
        repo="org/name",
        revision="v1",
        address=hub.url + "/{repo}/resolve/{revision}/{file}",
        files=("deep/w 1.pth",),
        sha256=MappingProxyType({"deep/w 1.pth": hashlib.sha256(CONTENT).hexdigest()}),
        download_bytes=len(CONTENT),
    )


def test_downloads_once_into_the_cache_and_then_needs_no_network(hub: Hub, source: Source) -> None:
    seen: list[tuple[str, int, int]] = []
    assert cached_files(source) is None
    files = fetch_files(source, on_progress=lambda *step: seen.append(step))
    (path,) = files.values()
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(constants.HF_HUB_CACHE)
    assert seen[-1] == ("deep/w 1.pth", len(CONTENT), len(CONTENT))
    assert [(m, p) for m, p, _ in hub.requests] == [("GET", "/org/name/resolve/v1/deep/w 1.pth")]
    assert fetch_files(source, refresh=True) == fetch_files(source) == files == cached_files(source)
    assert len(hub.requests) == 1


def test_the_hubs_token_goes_nowhere_else(
    hub: Hub, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch_files(source)
    assert hub.authorizations == [""]
    fetch_files(dataclasses.replace(source, address="", revision="main"))
    assert "Bearer hf_secret" in hub.authorizations


def test_a_cut_connection_is_resumed(
    hub: Hub, source: Source, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    hub.cut_after = [50_000, 30_000]
    assert fetch_files(source)["deep/w 1.pth"].read_bytes() == CONTENT
    assert resumed_at([span for _, _, span in hub.requests]) == [0, 50_000, 80_000]


def test_what_an_interrupted_run_left_is_gone_on_with(
    hub: Hub, source: Source, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    monkeypatch.setattr(sepcli.models.hub, "RETRY_WAITS_SECONDS", ())
    hub.cut_after = [50_000] + [0] * 20
    with pytest.raises(WeightsError, match=r"cannot download deep/w 1\.pth of org/name") as caught:
        fetch_files(source)
    assert "run the same command again" in caught.value.hint
    assert cached_files(source) is None
    hub.cut_after = []
    seen: list[int] = []
    fetch_files(source, on_progress=lambda _, done, __: seen.append(done))
    assert resumed_at([hub.requests[-1][2]]) == [50_000]
    assert min(seen) > 50_000


@pytest.mark.parametrize("there", [CONTENT, CONTENT + b"more", bytes(len(CONTENT))])
def test_what_is_there_of_a_file_may_be_whole_or_too_long(
    hub: Hub, source: Source, there: bytes
) -> None:
    target = place(source, "deep/w 1.pth")
    target.parent.mkdir(parents=True)
    target.with_name(target.name + web.PARTIAL).write_bytes(there)
    assert fetch_files(source)["deep/w 1.pth"].read_bytes() == CONTENT
    assert [span for _, _, span in hub.requests] == [f"bytes={len(there)}-", ""]


def test_other_bytes_than_the_entry_knows_are_refused_after_one_more_try(
    hub: Hub, source: Source
) -> None:
    other = dataclasses.replace(source, sha256=MappingProxyType({"deep/w 1.pth": 64 * "0"}))
    with pytest.raises(WeightsError, match="is not the file that is known") as caught:
        fetch_files(other)
    assert caught.value.hint == "try again later"
    assert hub.count("GET") == 2


def test_a_spoilt_file_is_fetched_again_once(hub: Hub, source: Source) -> None:
    path = fetch_files(source)["deep/w 1.pth"]
    path.write_bytes(CONTENT[:-1] + b"?")
    assert fetch_files(source)["deep/w 1.pth"].read_bytes() == CONTENT
    assert hub.count("GET") == 2


def test_server_errors_are_tried_again(hub: Hub, source: Source, waits: list[float]) -> None:
    hub.statuses["GET"] = [503, 500]
    assert fetch_files(source)["deep/w 1.pth"].read_bytes() == CONTENT
    hub.statuses["GET"] = [403]
    with pytest.raises(WeightsError, match=r"server does not give .*: HTTP 403"):
        fetch_files(dataclasses.replace(source, revision="v2"))


def test_a_file_that_is_gone_is_named_with_its_address(hub: Hub, source: Source) -> None:
    gone = dataclasses.replace(source, repo="org/gone")
    with pytest.raises(MissingFileError) as caught:
        fetch_files(gone)
    address = f"{hub.url}/org/gone/resolve/v1/deep/w%201.pth"
    assert caught.value.message == f"no file at the address any more: {address}"
    assert "models.toml" in caught.value.hint


def test_offline_it_says_what_to_run(
    hub: Hub, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_client(monkeypatch, HF_HUB_OFFLINE=True)
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    with pytest.raises(WeightsError, match="not in the cache, and HF_HUB_OFFLINE is set") as caught:
        fetch_files(source)
    assert "`sepcli download x`" in caught.value.hint
    assert waits == []  # nothing comes of waiting


def test_threads_fetching_at_once_load_it_once(hub: Hub, source: Source) -> None:
    hub.delay_seconds = 0.05
    threads = [threading.Thread(target=fetch_files, args=(source,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetch_files(source)["deep/w 1.pth"].read_bytes() == CONTENT
    assert hub.count("GET") == 1


def test_an_address_is_filled_in_and_quoted() -> None:
    source = Source(
        name="x", repo="a/b", revision="v1", files=(), address="http://h/{file}?r={repo}"
    )
    assert web.address(source, "c d/e.pth") == "http://h/c%20d/e.pth?r=a/b"


MINIATURES = {
    "merlresearch--tf-locoformer__whamr": ("tflocoformer", "espnet"),
    "merlresearch--tf-locoformer__wsj0_2mix": ("tflocoformer", "espnet"),
    "dmlguq456--SepReformer": ("sepreformer", "sepreformer"),
}


def write_user_table(hub: Hub, miniature: str, **changes: Any) -> None:
    """Give a miniature an entry of which its own configuration says the sizes."""
    architecture, style = MINIATURES[miniature]
    folder = WEB_DATA / miniature
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [str(path.relative_to(folder)) for path in files]
    body = {
        "architecture": architecture,
        "format": style,
        "repo": miniature.split("__")[0].replace("--", "/"),
        "address": hub.url + "/{repo}/resolve/{revision}/{file}",
        "files": names,
        "speakers": 2,
        "sample_rate": 8000,
        **changes,
    }
    lines = ["[mine]", *(f"{key} = {value!r}" for key, value in body.items()), "[mine.sha256]"]
    lines += [
        f'"{name}" = "{hashlib.sha256(path.read_bytes()).hexdigest()}"'
        for name, path in zip(names, files, strict=True)
    ]
    user_table_path().parent.mkdir(parents=True, exist_ok=True)
    user_table_path().write_text("\n".join(lines))
    hub.serve(str(body["repo"]), folder)


@pytest.mark.parametrize("miniature", MINIATURES)
def test_a_repository_gives_the_published_numbers(hub: Hub, miniature: str) -> None:
    write_user_table(hub, miniature)
    loaded = load_model(resolve_model("mine"))
    recorded = load_file(WEB_DATA / f"{miniature}.expected.safetensors")
    with torch.inference_mode():
        estimates = loaded.network(recorded["in"])
    error = (estimates - recorded["out"]).abs().max() / recorded["out"].abs().max()
    assert error < 1e-5  # the published float32 is within 1.3e-6 of its float64
    asked = len(hub.requests)
    load_model(resolve_model("mine"))
    assert len(hub.requests) == asked


def test_an_address_has_no_revisions(hub: Hub) -> None:
    write_user_table(hub, "dmlguq456--SepReformer")
    with pytest.raises(UsageError, match="an address has no revision: v2"):
        resolve_model("mine", revision="v2")


def test_a_repository_of_that_name_on_the_hub_is_another_one(hub: Hub) -> None:
    write_user_table(hub, "dmlguq456--SepReformer")
    hub.serve("dmlguq456/SepReformer", WEB_DATA.parent / "hub" / "JusperLee--TIGER-speech")
    assert resolve_model("hf:dmlguq456/SepReformer").architecture == "tiger"
