"""Fetching from a hub that misbehaves, with the real client against a loopback stand-in."""

import errno
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from logging import CRITICAL
from pathlib import Path
from types import MappingProxyType
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import logging

import sepcli.models.hub
from sepcli.errors import WeightsError
from sepcli.models.cache import cached_files, damage, sha256
from sepcli.models.entry import ModelEntry
from sepcli.models.hub import fetch_files, fetch_model, find_file
from sepcli.models.hub_errors import MissingFileError, explained
from tests.hub import COMMIT, Hub, drop_session, patient_client, resumed_at, set_client

REPO = "org/name"
CONTENT = bytes(range(256)) * 512
LOGIN = "run `hf auth login`, and accept the repository's terms on its page of the hub"
TERMS = "accept its terms on its page of the hub, then run `hf auth login`"
CHECK = "check the name; for a private one run `hf auth login`"
OTHER = "another revision may hold it: add `--revision COMMIT`"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the list that all waiting, ours and the client's, is written to instead of done."""
    seen: list[float] = []
    monkeypatch.setattr("time.sleep", seen.append)
    return seen


@pytest.fixture
def served(hub: Hub, tmp_path: Path) -> Path:
    """Return the folder of a repository with one file of 128 kB."""
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "w.bin").write_bytes(CONTENT)
    hub.serve(REPO, folder)
    return folder


def _entry(**changes: Any) -> ModelEntry:
    fields: dict[str, Any] = {
        "name": "x",
        "architecture": "spgm",
        "format": "mixin",
        "files": ("w.bin",),
        "speakers": 2,
        "sample_rate": 8000,
        "repo": REPO,
    }
    return ModelEntry(**(fields | changes))


def test_downloads_once_and_then_needs_no_network(hub: Hub, served: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    entry = _entry()
    assert cached_files(entry) is None
    files = fetch_files(entry, on_progress=lambda *step: seen.append(step))
    assert files["w.bin"].read_bytes() == CONTENT
    assert seen[-1] == ("w.bin", len(CONTENT), len(CONTENT))
    # The file's metadata, then the file, and nothing else: no telemetry.
    assert [(method, path) for method, path, _ in hub.requests] == [
        ("HEAD", "/org/name/resolve/main/w.bin"),
        ("GET", "/org/name/resolve/main/w.bin"),
    ]
    assert fetch_files(entry) == files == cached_files(entry)
    assert len(hub.requests) == 2


def test_a_refresh_asks_the_hub_for_news(hub: Hub, served: Path) -> None:
    fetch_files(_entry())
    asked = len(hub.requests)
    fetch_files(_entry(), refresh=True)
    assert hub.count("HEAD", "w.bin") == 2
    assert len(hub.requests) == asked + 1


def test_takes_the_first_alternative_there_is(hub: Hub, served: Path) -> None:
    entry = _entry(files=("c.json?", "w.safetensors|w.bin"))
    assert list(fetch_files(entry)) == ["w.bin"]
    assert list(fetch_files(entry)) == ["w.bin"]
    (served / "w.safetensors").write_bytes(b"1")
    (served / "c.json").write_bytes(b"2")
    fresh = replace(entry, revision=COMMIT.replace("0", "1"))
    assert list(fetch_files(fresh)) == ["c.json", "w.safetensors"]


def test_a_cut_connection_is_resumed(
    hub: Hub, served: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_client(monkeypatch, DOWNLOAD_CHUNK_SIZE=10_000)  # what the client hands on at once
    hub.cut_after = [50_000, 30_000]
    assert fetch_files(_entry())["w.bin"].read_bytes() == CONTENT
    ranges = [span for method, _, span in hub.requests if method == "GET"]
    assert resumed_at(ranges) == [0, 50_000, 80_000]


def test_a_connection_that_never_holds_is_given_up(
    hub: Hub, served: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sepcli.models.hub, "RETRY_WAITS_SECONDS", (1.0,))
    hub.cut_after = [0] * 100
    with pytest.raises(WeightsError, match=r"cannot download w\.bin of org/name") as caught:
        fetch_files(_entry())
    assert "run the same command again" in caught.value.hint
    assert cached_files(_entry()) is None


def test_server_errors_are_tried_again_with_growing_waits(
    hub: Hub, served: Path, waits: list[float]
) -> None:
    hub.statuses["GET"] = [503, 500, 502]
    assert fetch_files(_entry())["w.bin"].read_bytes() == CONTENT
    assert waits == sorted(waits)
    assert len(waits) == len(set(waits)) == 3


@patient_client
def test_a_server_that_stays_down_is_an_error_with_a_hint(
    hub: Hub, served: Path, waits: list[float]
) -> None:
    hub.statuses["HEAD"] = [503] * 100
    with pytest.raises(WeightsError, match="hub does not answer for org/name: HTTP 503") as caught:
        fetch_files(_entry())
    assert "later" in caught.value.hint
    assert len(waits) >= 3
    assert waits == sorted(waits)


@patient_client
def test_too_many_requests_are_answered_with_patience(
    hub: Hub, served: Path, waits: list[float]
) -> None:
    hub.statuses["HEAD"] = [429, 429]
    hub.statuses["GET"] = [429]
    assert fetch_files(_entry())["w.bin"].read_bytes() == CONTENT
    assert len(waits) >= 2
    hub.statuses["HEAD"] = [429] * 100
    with pytest.raises(WeightsError, match="slow down: HTTP 429") as caught:
        fetch_files(_entry(revision="other"))
    assert "hf auth login" in caught.value.hint


@pytest.mark.parametrize(
    ("status", "code", "message", "hint"),
    [
        (401, "", "hub refuses access to org/name: HTTP 401", LOGIN),
        (403, "", "hub refuses access to org/name: HTTP 403", LOGIN),
        (403, "GatedRepo", "repository is gated: org/name", TERMS),
        (404, "RepoNotFound", "no such repository on the hub, or a private one: org/name", CHECK),
        (
            404,
            "RevisionNotFound",
            "repository org/name has no revision: main",
            "try `--revision main`",
        ),
        (404, "EntryNotFound", "repository org/name does not hold: w.bin", OTHER),
        (404, "", "repository org/name does not hold: w.bin", OTHER),
        (410, "", "hub does not answer for org/name: HTTP 410", "run the same command again later"),
    ],
)
def test_a_refusal_is_one_line_and_a_hint(
    hub: Hub, served: Path, waits: list[float], status: int, code: str, message: str, hint: str
) -> None:
    hub.statuses["HEAD"] = [status] * 20
    hub.error_code = code
    with pytest.raises(WeightsError) as caught:
        fetch_files(_entry())
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_an_unreachable_hub_is_one_line_and_a_hint(
    hub: Hub, served: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:9"
    set_client(monkeypatch, ENDPOINT=nowhere)
    template = nowhere + "/{repo_id}/resolve/{revision}/{filename}"
    set_client(monkeypatch, HUGGINGFACE_CO_URL_TEMPLATE=template)
    with pytest.raises(WeightsError) as caught:
        fetch_files(_entry())
    assert caught.value.message == "cannot download w.bin of org/name: Connection refused"
    assert caught.value.hint == (
        "check the network and HF_ENDPOINT, then run the same command again"
    )
    assert sum(waits) <= 3  # nobody waits half a minute to read it


def test_offline_needs_the_cache(hub: Hub, served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_client(monkeypatch, HF_HUB_OFFLINE=True)
    with pytest.raises(WeightsError, match=r"HF_HUB_OFFLINE is set: org/name/w\.bin") as caught:
        fetch_files(_entry())
    assert "sepcli download x" in caught.value.hint
    set_client(monkeypatch, HF_HUB_OFFLINE=False)
    fetch_files(_entry())
    set_client(monkeypatch, HF_HUB_OFFLINE=True)
    asked = len(hub.requests)
    assert fetch_files(_entry(), refresh=True)["w.bin"].read_bytes() == CONTENT
    assert len(hub.requests) == asked


@pytest.mark.parametrize("spoilt", [CONTENT[:-1], b"x" + CONTENT[1:], b""])
def test_a_spoilt_cache_is_noticed_and_fetched_again_once(
    hub: Hub, served: Path, spoilt: bytes
) -> None:
    path = fetch_files(_entry())["w.bin"].resolve()
    path.write_bytes(spoilt)
    assert "sha256" in damage(_entry(), "w.bin", path)
    seen: list[tuple[str, int, int]] = []
    files = fetch_files(_entry(), on_progress=lambda *step: seen.append(step))
    assert files["w.bin"].read_bytes() == CONTENT
    assert seen[-1] == ("w.bin", len(CONTENT), len(CONTENT))
    assert hub.count("GET", "w.bin") == 2


def test_a_spoilt_cache_offline_is_an_error(
    hub: Hub, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_files(_entry())["w.bin"].resolve().write_bytes(b"spoilt")
    set_client(monkeypatch, HF_HUB_OFFLINE=True)
    with pytest.raises(WeightsError, match="cached file is damaged") as caught:
        fetch_files(_entry())
    assert "HF_HUB_OFFLINE" in caught.value.hint


def test_other_bytes_than_the_entry_knows_are_refused_after_one_more_try(
    hub: Hub, served: Path
) -> None:
    known = MappingProxyType({"w.bin": "0" * 64})
    with pytest.raises(
        WeightsError, match=r"w\.bin of org/name is not the file that is known"
    ) as caught:
        fetch_files(_entry(sha256=known))
    assert caught.value.hint == (
        "try again later; to trust what the hub holds now, add `--revision main`"
    )
    assert hub.count("GET", "w.bin") == 2
    right = MappingProxyType({"w.bin": sha256(served / "w.bin")})
    assert fetch_files(_entry(sha256=right))["w.bin"].read_bytes() == CONTENT


def test_a_folder_with_an_altered_file(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(CONTENT)
    entry = _entry(repo="", folder=tmp_path, sha256=MappingProxyType({"w.bin": "0" * 64}))
    with pytest.raises(WeightsError, match="file is altered"):
        fetch_files(entry)
    with pytest.raises(MissingFileError) as caught:
        fetch_files(replace(entry, files=("a.bin", "w.bin", "b|c", "w.bin|d", "e?")))
    assert caught.value.message == f"model folder {tmp_path} does not hold: a.bin, b|c"
    assert caught.value.hint == "put the file there, or correct files in its model.toml"


def test_threads_fetching_at_once_all_get_the_file(hub: Hub, served: Path) -> None:
    hub.delay_seconds = 0.1
    found: list[bytes] = []

    def fetch() -> None:
        found.append(fetch_files(_entry())["w.bin"].read_bytes())

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 4


def test_two_processes_fetching_at_once_do_not_spoil_the_cache(hub: Hub, served: Path) -> None:
    hub.delay_seconds = 0.3
    code = (
        "from sepcli.models.hub import *; from sepcli.models.entry import ModelEntry;"
        "e = ModelEntry(name='x', architecture='a', format='f', files=('w.bin',), speakers=2,"
        " sample_rate=8000, repo='org/name');"
        "print(fetch_files(e)['w.bin'].stat().st_size)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in running] == [str(len(CONTENT))] * 2
    found = cached_files(_entry())
    assert found is not None
    assert damage(_entry(), "w.bin", found["w.bin"]) == ""


@pytest.fixture
def read_only_cache(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make every attempt to create a file or folder in the cache fail as on a read-only disk."""
    real_mkdir = Path.mkdir

    def refuse(path: Any, *args: Any, **kwargs: Any) -> None:
        if str(path).startswith(constants.HF_HOME):
            raise OSError(30, "Read-only file system", str(path))
        real_mkdir(Path(path), *args, **kwargs)

    monkeypatch.setattr("os.makedirs", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    yield


def test_a_read_only_cache_without_the_file_is_explained(
    hub: Hub, served: Path, read_only_cache: None
) -> None:
    with pytest.raises(WeightsError) as caught:
        fetch_files(_entry())
    assert caught.value.message == (
        "cannot write to the model cache: Read-only file system: "
        f"{constants.HF_HUB_CACHE}/models--org--name/blobs"
    )
    assert caught.value.hint == "set HF_HOME to a folder that can be written and has room"


def test_a_full_cache_is_explained_without_a_name(
    hub: Hub, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    with pytest.raises(WeightsError) as caught:
        fetch_files(_entry())
    assert caught.value.message == "cannot write to the model cache: No space left on device"


def test_a_read_only_cache_with_the_file_is_enough(
    hub: Hub, served: Path, request: pytest.FixtureRequest
) -> None:
    fetch_files(_entry())
    request.getfixturevalue("read_only_cache")
    assert fetch_files(_entry())["w.bin"].read_bytes() == CONTENT


@pytest.fixture
def spgm(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModelEntry:
    """Return an entry whose repository holds no weights, while that of its fallback does."""
    empty, full = tmp_path / "empty", tmp_path / "full"
    for folder in (empty, full):
        folder.mkdir()
    (full / "b.bin").write_bytes(CONTENT)
    hub.serve("org/empty", empty)
    hub.serve("org/full", full)
    spare = _entry(name="spare", repo="org/full", files=("b.bin",))
    monkeypatch.setattr(sepcli.models.hub, "find_entry", {"spare": spare}.__getitem__)
    return _entry(repo="org/empty", fallback="spare")


def test_a_fallback_is_used_and_said(
    hub: Hub, spgm: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = fetch_model(spgm)
    assert fetched.entry.name == "spare"
    assert list(fetched.files) == ["b.bin"]
    assert "org/empty does not hold the weights of x; using spare" in fetched.note
    asked = len(hub.requests)
    assert fetch_model(spgm) == fetched
    set_client(monkeypatch, HF_HUB_OFFLINE=True)
    assert fetch_model(spgm) == fetched
    assert len(hub.requests) == asked


def test_a_fallback_is_left_alone_where_the_files_are(
    hub: Hub, spgm: ModelEntry, tmp_path: Path
) -> None:
    (tmp_path / "empty" / "w.bin").write_bytes(CONTENT)
    seen: list[tuple[str, int, int]] = []
    fetched = fetch_model(spgm, on_progress=lambda *step: seen.append(step))
    assert (fetched.entry, fetched.note) == (spgm, "")
    assert seen[-1] == ("w.bin", len(CONTENT), len(CONTENT))


def test_a_refresh_notices_files_that_came_back(hub: Hub, spgm: ModelEntry, tmp_path: Path) -> None:
    assert fetch_model(spgm).entry.name == "spare"
    (tmp_path / "empty" / "w.bin").write_bytes(CONTENT)
    assert fetch_model(spgm).entry.name == "spare"  # without a question
    assert fetch_model(spgm, refresh=True).entry == spgm


def test_a_missing_extra_does_not_make_a_fallback(
    hub: Hub, spgm: ModelEntry, tmp_path: Path
) -> None:
    entry = replace(spgm, files=("w.bin", "extra.json?"))
    assert fetch_model(entry).entry.name == "spare"
    (tmp_path / "empty" / "w.bin").write_bytes(CONTENT)
    assert list(fetch_files(entry)) == ["w.bin"]


def test_a_model_without_fallback_tells_its_progress(hub: Hub, served: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    fetched = fetch_model(_entry(), on_progress=lambda *step: seen.append(step))
    assert (fetched.entry, fetched.note) == (_entry(), "")
    assert seen[-1] == ("w.bin", len(CONTENT), len(CONTENT))


def test_offline_a_single_file_may_be_absent(
    hub: Hub, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_client(monkeypatch, HF_HUB_OFFLINE=True)
    assert find_file(REPO, "main", "w.bin") is None
    assert hub.requests == []


def test_online_a_single_file_that_cannot_be_had_is_an_error(
    hub: Hub, served: Path, waits: list[float]
) -> None:
    hub.statuses["HEAD"] = [503] * 100
    with pytest.raises(WeightsError, match="HTTP 503"):
        find_file(REPO, "main", "w.bin")


def test_a_fallback_does_not_hide_other_failures(
    hub: Hub, spgm: ModelEntry, waits: list[float]
) -> None:
    hub.statuses["HEAD"] = [503] * 100
    with pytest.raises(WeightsError, match="HTTP 503"):
        fetch_model(spgm)


def test_finds_a_single_file_and_remembers_what_is_not_there(hub: Hub, served: Path) -> None:
    assert find_file(REPO, "main", "absent.json") is None
    found = find_file(REPO, "main", "w.bin")
    assert found is not None
    assert found.read_bytes() == CONTENT
    asked = len(hub.requests)
    assert find_file(REPO, "main", "absent.json") is None
    assert find_file(REPO, "main", "w.bin") == found
    assert len(hub.requests) == asked
    with pytest.raises(MissingFileError):
        find_file("no/where", "main", "w.bin")


def test_a_refresh_of_a_model_asks_the_hub_with_and_without_fallback(
    hub: Hub, served: Path, spgm: ModelEntry, tmp_path: Path
) -> None:
    (tmp_path / "empty" / "w.bin").write_bytes(CONTENT)
    for entry in (_entry(), spgm):
        fetch_model(entry)
        asked = hub.count("HEAD", "w.bin")
        fetch_model(entry)
        assert hub.count("HEAD", "w.bin") == asked
        assert fetch_model(entry, refresh=True).entry == entry
        assert hub.count("HEAD", "w.bin") == asked + 1


def test_a_damaged_file_in_the_place_of_a_link_is_replaced(hub: Hub, served: Path) -> None:
    entry = _entry(sha256=MappingProxyType({"w.bin": sha256(served / "w.bin")}))
    path = fetch_files(entry)["w.bin"]
    path.unlink()
    path.write_bytes(b"spoilt")
    assert fetch_files(entry)["w.bin"].read_bytes() == CONTENT


def test_a_transfer_of_the_wrong_size_is_tried_again(
    hub: Hub, served: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    download, failures = huggingface_hub.hf_hub_download, [OSError("Consistency check failed: 1")]

    def flaky(*args: Any, **options: Any) -> str:
        if failures:
            raise failures.pop()
        return download(*args, **options)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", flaky)
    assert fetch_files(_entry())["w.bin"].read_bytes() == CONTENT
    assert waits == [1.0]


@pytest.mark.parametrize(
    ("verbosity", "debug", "quiet"), [("", False, True), ("info", False, False), ("", True, False)]
)
def test_the_client_sends_no_telemetry_and_keeps_quiet_unless_asked(
    hub: Hub,
    served: Path,
    monkeypatch: pytest.MonkeyPatch,
    verbosity: str,
    debug: bool,
    quiet: bool,
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.setattr(constants, "HF_DEBUG", debug)
    monkeypatch.setenv("HF_HUB_VERBOSITY", verbosity)
    before = logging.get_verbosity()
    try:
        logging.set_verbosity_warning()
        fetch_files(_entry())
        assert constants.HF_HUB_DISABLE_TELEMETRY is True
        assert (logging.get_verbosity() == CRITICAL) == quiet
    finally:
        logging.set_verbosity(before)


@pytest.fixture
def new_session() -> Iterator[None]:
    """Let the client make a new session, as a new process does, and drop it afterwards."""
    drop_session()
    yield
    drop_session()


@pytest.mark.usefixtures("served", "waits", "new_session")
def test_certificates_that_are_not_there_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    absent = tmp_path / "absent.pem"
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):  # of httpx and of requests
        monkeypatch.setenv(name, str(absent))
    set_client(monkeypatch, ENDPOINT="https://127.0.0.1:9")
    template = "https://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    set_client(monkeypatch, HUGGINGFACE_CO_URL_TEMPLATE=template)
    with pytest.raises(WeightsError) as caught:
        fetch_files(_entry())
    assert caught.value.message == f"no such file of certificates: SSL_CERT_FILE={absent}"
    assert caught.value.hint.startswith("unset SSL_CERT_FILE")


@pytest.mark.usefixtures("served", "waits", "new_session")
@pytest.mark.parametrize(
    "proxy", ["socks5://user:secret@127.0.0.1:9", "gopher://user:secret@127.0.0.1:9"]
)
def test_a_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(WeightsError) as caught:
        fetch_files(_entry())
    assert caught.value.message.startswith("proxy cannot be used for w.bin of org/name: ")
    assert "ALL_PROXY" in caught.value.hint
    assert "secret" not in caught.value.message


@pytest.mark.usefixtures("served", "waits", "new_session")
def test_a_proxy_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(WeightsError) as caught:
        fetch_files(_entry())
    assert caught.value.message == "cannot download w.bin of org/name: Connection refused"
    assert "HTTP_PROXY" in caught.value.hint


def test_a_certificate_that_is_not_trusted_is_said() -> None:
    inner = ssl.SSLCertVerificationError(1, "certificate verify failed")
    inner.verify_message = "self-signed certificate"
    outer = RuntimeError("outer")
    outer.__context__ = inner
    failure = explained(_entry(), "w.bin", outer)
    assert failure.message == "certificate of the hub is not trusted: self-signed certificate"
    assert "SSL_CERT_FILE" in failure.hint
