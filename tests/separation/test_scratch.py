import os
import time
from pathlib import Path

import numpy as np
import pytest

from sepcli.errors import OutputError
from sepcli.separation.scratch import (
    MemorySpool,
    Spool,
    default_spool_folder,
    spool_bytes,
    spool_key,
)


def filled(spool: Spool | MemorySpool) -> None:
    spool.append_mixture(np.arange(10, dtype=np.float32))
    spool.append_estimates(np.arange(8, dtype=np.float32).reshape(2, 4))
    spool.append_estimates(np.arange(8, 16, dtype=np.float32).reshape(2, 4))


@pytest.mark.parametrize("kind", [Spool, MemorySpool])
def test_what_went_in_comes_out(kind: type[Spool] | type[MemorySpool]) -> None:
    spool = kind(num_speakers=2)
    filled(spool)
    spool.append_mixture(np.array([10], np.float32))
    assert spool.num_samples == 11
    assert spool.read_mixture(8, 3).tolist() == [8, 9, 10]
    assert spool.read_mixture(3, 4).tolist() == [3, 4, 5, 6]
    assert spool.read_estimates(1, 4).tolist() == [[8, 9, 10, 11], [12, 13, 14, 15]]
    assert spool.finished_chunks(4) == 2
    spool.keep_chunks(1, 4)
    assert spool.finished_chunks(4) == 1
    spool.append_estimates(np.full((2, 4), 7, np.float32))
    assert spool.read_estimates(1, 4).tolist() == [[7] * 4] * 2
    spool.close(keep=True)


def test_memory_needs_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    spool = MemorySpool(num_speakers=2)
    spool.require_space(10**12, 10**6)
    filled(spool)
    assert spool.folder is None
    with pytest.raises(OutputError):
        Spool(num_speakers=2)


def test_size_is_known_beforehand(tmp_path: Path) -> None:
    spool = Spool(2, tmp_path, "key")
    filled(spool)
    on_disk = sum(f.stat().st_size for f in (tmp_path / "key").iterdir())
    assert spool_bytes(10, 2, 4, 2) == on_disk
    spool.close()


def test_a_kept_spool_is_resumed_and_a_closed_one_is_gone(tmp_path: Path) -> None:
    first = Spool(2, tmp_path, "key")
    filled(first)
    first.close(keep=True)
    second = Spool(2, tmp_path, "key", resume=True)
    assert second.finished_chunks(4) == 2
    second.keep_chunks(1, 4)
    second.append_estimates(np.full((2, 4), 7, np.float32))
    assert second.read_estimates(0, 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert second.read_estimates(1, 4).tolist() == [[7] * 4] * 2
    second.close()
    assert list(tmp_path.iterdir()) == []


def test_half_a_chunk_does_not_count(tmp_path: Path) -> None:
    first = Spool(2, tmp_path, "key")
    filled(first)
    first.close(keep=True)
    with (tmp_path / "key" / "estimates.f32").open("ab") as stream:
        stream.write(b"\0" * 7)
    assert Spool(2, tmp_path, "key", resume=True).finished_chunks(4) == 2


def test_without_resume_it_starts_empty(tmp_path: Path) -> None:
    first = Spool(2, tmp_path, "key")
    filled(first)
    first.close(keep=True)
    assert Spool(2, tmp_path, "key").finished_chunks(4) == 0


def test_nothing_is_kept_of_a_run_that_did_nothing(tmp_path: Path) -> None:
    Spool(2, tmp_path, "key").close(keep=True)
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_gets_a_spool_of_its_own(tmp_path: Path) -> None:
    first, second = Spool(2, tmp_path, "key"), Spool(2, tmp_path, "key")
    assert first.folder != second.folder
    filled(first)
    assert second.finished_chunks(4) == 0


def test_spools_nobody_resumed_are_forgotten(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    os.utime(old, (0, time.time() - 8 * 24 * 3600))
    Spool(2, tmp_path, "key").close()
    assert not old.exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write the spool") as caught:
        Spool(2, tmp_path / "file", "key")
    assert "SEPCLI_SPOOL" in caught.value.hint


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(2)
    monkeypatch.setattr(spool, "_estimates", Path("/dev/full").open("wb"))  # noqa: SIM115
    with pytest.raises(OutputError, match="No space left"):
        spool.append_estimates(np.zeros((2, 4), np.float32))


def test_too_little_room_is_told_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    spool = Spool(2)
    spool.require_space(1, 100)
    with pytest.raises(OutputError, match="not enough space"):
        spool.require_space(2, 100)


def test_keys_tell_recordings_apart() -> None:
    assert spool_key({"path": "a", "size": 1}) == spool_key({"size": 1, "path": "a"})
    assert spool_key({"path": "a"}) != spool_key({"path": "b"})


def test_the_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEPCLI_SPOOL", str(tmp_path))
    assert default_spool_folder() == tmp_path
