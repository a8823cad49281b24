"""A hub that answers as none does: the real client acts on nothing of it."""

import logging
import time
from pathlib import Path

import pytest
from huggingface_hub import constants

import sepcli.models.hub_guard
from sepcli.errors import WeightsError
from sepcli.models.cache import cached_files
from sepcli.models.entry import ModelEntry
from sepcli.models.hub import fetch_files
from sepcli.models.hub_guard import (
    LARGEST_FILE_BYTES,
    TRIES_WITHOUT_NETWORK,
    Transfer,
    UnreachableError,
    _giving_up,
    watched,
)
from tests.hub import Hub, patient_client

REPO = "org/name"
CONTENT = bytes(range(256)) * 512
ENTRY = ModelEntry(
    name="x",
    architecture="spgm",
    format="mixin",
    files=("w.bin",),
    speakers=2,
    sample_rate=8000,
    repo=REPO,
)


@pytest.fixture(autouse=True)
def served(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "w.bin").write_bytes(CONTENT)
    hub.serve(REPO, folder)


def _refusal() -> str:
    with pytest.raises(WeightsError) as caught:
        fetch_files(ENTRY)
    assert cached_files(ENTRY) is None
    return caught.value.message


@pytest.mark.parametrize("header", ["ETag", "X-Linked-ETag", "X-Repo-Commit"])
@pytest.mark.parametrize(
    "value", ["../../../../outside", '"../../../../outside"', "/tmp/outside", "a/b", "..", "a\\b"]
)
def test_a_header_that_leads_out_of_the_cache_is_refused(
    hub: Hub, tmp_path: Path, header: str, value: str
) -> None:
    hub.headers = {header: value}
    assert _refusal() == f"download refused, server sends no plain {header}: org/name/w.bin"
    assert not list(tmp_path.rglob("*outside*"))
    assert hub.count("GET") == 0


def test_usual_names_pass(hub: Hub) -> None:
    hub.headers = {"ETag": 'W/"abc-123.gz"'}
    assert fetch_files(ENTRY)["w.bin"].read_bytes() == CONTENT


def test_more_bytes_than_promised_are_not_written(hub: Hub, tmp_path: Path) -> None:
    hub.extra = 10_000_000
    assert _refusal() == (
        "download refused, server sends more than the 131,072 bytes it promised: org/name/w.bin"
    )
    written = sum(p.stat().st_size for p in Path(constants.HF_HOME).rglob("*") if p.is_file())
    assert written < 1_000_000


def test_more_bytes_than_any_file_has_are_not_written_though_none_were_promised() -> None:
    transfer = Transfer("org/name/w.bin", lambda *_: None)
    transfer.count(LARGEST_FILE_BYTES)
    with pytest.raises(WeightsError, match=r"server sends more than 17 GB: org/name/w\.bin"):
        transfer.count(1)


def test_a_compressed_answer_is_not_unpacked(hub: Hub) -> None:
    hub.headers = {"Content-Encoding": "gzip"}
    assert "compressed file, which nobody asked for" in _refusal()


def test_a_file_larger_than_any_is_not_begun(hub: Hub) -> None:
    hub.headers = {"X-Linked-Size": str(10**12)}
    assert _refusal() == "download refused, file of 1000 GB: org/name/w.bin"
    assert hub.count("GET") == 0


def test_a_transfer_that_only_drips_is_given_up(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sepcli.models.hub_guard, "STALL_SECONDS", 0.3)
    hub.drip_seconds = 0.003
    began = time.monotonic()
    assert _refusal().startswith("server sends too slowly, ")
    assert time.monotonic() - began < 30  # it would take 400 s


@pytest.mark.parametrize("header", [{"Retry-After": "100000"}, {"RateLimit": '"api";r=0;t=100000'}])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_wait_of_a_day_is_an_error(hub: Hub, header: dict[str, str], method: str) -> None:
    hub.statuses[method] = [429] * 20
    hub.headers = header
    assert _refusal() == "server asks to wait 100000 s: org/name/w.bin"


@patient_client
def test_a_short_wait_is_said_and_waited_for(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.statuses["HEAD"] = [429, 429]
    hub.headers = {"Retry-After": "30"}
    with caplog.at_level(logging.WARNING, logger="sepcli"):
        assert fetch_files(ENTRY)["w.bin"].read_bytes() == CONTENT
    assert "server asks to wait 30 s: org/name/w.bin" in caplog.messages


def test_other_requests_of_the_program_are_left_alone(hub: Hub) -> None:
    from huggingface_hub import get_hf_file_metadata

    fetch_files(ENTRY)
    hub.headers = {"ETag": "../x"}
    found = get_hf_file_metadata(f"{hub.url}/{REPO}/resolve/main/w.bin")
    assert found.etag == "../x"


class ConnectError(Exception):
    """As a client's library calls it."""


class ConnectTimeout(Exception):
    """As a client's library calls it."""


@pytest.mark.parametrize(
    ("failure", "is_reached", "told"),
    [
        (ConnectError("no route"), False, UnreachableError),
        (ConnectError("lost again"), True, ConnectError),
        (ConnectTimeout("slow"), False, ConnectTimeout),
    ],
)
def test_patience_ends_where_nobody_was_there_to_connect_to(
    failure: Exception, is_reached: bool, told: type[Exception]
) -> None:
    def send() -> None:
        raise failure

    transfer = Transfer("w.bin", lambda done, total: None, is_reached=is_reached)
    sending = _giving_up(send)
    with watched(transfer):
        for _ in range(TRIES_WITHOUT_NETWORK - 1):
            with pytest.raises(type(failure)):
                sending()
        with pytest.raises(told):
            sending()
    with pytest.raises(type(failure)):  # requests of others are theirs
        sending()
