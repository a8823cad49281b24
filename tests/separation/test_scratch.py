import errno
import io
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sepcli.errors import OutputError
from sepcli.files import private
from sepcli.separation import scratch, values
from sepcli.separation.scratch import (
    FLOAT_BYTES,
    MEMORY_BYTES,
    Spool,
    default_spool_folder,
    spool_bytes,
    spool_key,
)

KEY = spool_key({"path": "a"})


def filled(spool: Spool) -> Spool:
    spool.append_mixture(np.arange(10, dtype=np.float32))
    spool.append_estimates(np.arange(8, dtype=np.float32).reshape(2, 4))
    spool.append_estimates(np.arange(8, 16, dtype=np.float32).reshape(2, 4))
    return spool


def kept(parent: Path) -> list[Path]:
    """Return the files that a spool in `parent` left."""
    return [path for path in parent.rglob("*") if path.is_file()]


@pytest.mark.parametrize("where", ["memory", "disk", "kept"])
def test_what_went_in_comes_out(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "disk":
        monkeypatch.setattr(values, "MEMORY_BYTES", 1)
    spool = filled(Spool(2, tmp_path if where == "kept" else None, KEY))
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
    spool.close()
    assert kept(tmp_path) == []


def test_the_recording_at_its_own_rate_is_kept_beside_the_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = filled(Spool(2, tmp_path, KEY))
    spool.original.append(np.arange(60, dtype=np.float32))
    assert spool.original.read(57, 3).tolist() == [57, 58, 59]
    assert spool.read_mixture(8, 2).tolist() == [8, 9]
    assert spool.is_in_memory
    spool.original.append(np.zeros(MEMORY_BYTES // FLOAT_BYTES, np.float32))
    assert not spool.is_in_memory
    free = type("Usage", (), {"free": 5 * MEMORY_BYTES})()
    monkeypatch.setattr("shutil.disk_usage", lambda path: free)
    much = MEMORY_BYTES // FLOAT_BYTES
    spool.require_mixture_space(much)  # itself and two estimates
    with pytest.raises(OutputError, match="not enough space for the spool"):
        spool.require_mixture_space(much, 6 * much)
    spool.close()


def test_little_needs_no_disk_and_much_goes_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    spool = Spool(1)
    spool.append_mixture(np.zeros(MEMORY_BYTES // FLOAT_BYTES, np.float32))
    assert spool.is_in_memory
    with pytest.raises(OutputError, match="cannot write the spool in /nowhere"):
        spool.append_mixture(np.zeros(1, np.float32))
    monkeypatch.setattr("tempfile.tempdir", None)
    spool = Spool(1)
    spool.append_mixture(np.ones(MEMORY_BYTES // FLOAT_BYTES + 1, np.float32))
    assert not spool.is_in_memory
    assert spool.read_mixture(0, spool.num_samples).min() == 1
    spool.close()


def test_what_is_read_cannot_be_changed() -> None:
    spool = Spool(1)
    spool.append_mixture(np.ones(10, np.float32))
    with pytest.raises(ValueError, match="read-only"):
        spool.read_mixture(0, 5)[:] = 2.0
    np.testing.assert_array_equal(spool.read_mixture(0, 10), np.ones(10))
    spool.close()


def test_threads_read_and_write_at_once(tmp_path: Path) -> None:
    """One writes the mixture and estimates while others read what is there already."""
    spool = Spool(1, tmp_path, KEY)
    block = np.arange(1000, dtype=np.float32)
    spool.append_mixture(block)

    def read(number: int) -> bool:
        start = number * 7 % 900
        return spool.read_mixture(start, 100).tolist() == block[start : start + 100].tolist()

    with ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(read, number) for number in range(400)]
        for _ in range(100):
            spool.append_mixture(block)
        assert all(each.result() for each in reads)
    assert spool.read_mixture(100_000, 1000).tolist() == block.tolist()
    spool.close()


def test_size_is_known_beforehand(tmp_path: Path) -> None:
    spool = filled(Spool(2, tmp_path, KEY))
    (estimates,) = kept(tmp_path)
    values = estimates.stat().st_size - len(scratch.MARKER)
    assert spool_bytes(0, 2, 4, 2) == values
    assert spool_bytes(10, 2, 4, 2) == values + 10 * FLOAT_BYTES
    spool.close()


def test_a_kept_spool_is_resumed_and_a_closed_one_is_gone(tmp_path: Path) -> None:
    filled(Spool(2, tmp_path, KEY)).close(keep=True)
    second = Spool(2, tmp_path, KEY, resume=True)
    assert second.finished_chunks(4) == 2
    second.keep_chunks(1, 4)
    second.append_estimates(np.full((2, 4), 7, np.float32))
    assert second.read_estimates(0, 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert second.read_estimates(1, 4).tolist() == [[7] * 4] * 2
    second.close()
    assert kept(tmp_path) == []


def test_half_a_chunk_does_not_count(tmp_path: Path) -> None:
    filled(Spool(2, tmp_path, KEY)).close(keep=True)
    with kept(tmp_path)[0].open("ab") as stream:
        stream.write(b"\0" * 7)
    spool = Spool(2, tmp_path, KEY, resume=True)
    assert spool.finished_chunks(4) == 2
    spool.append_estimates(np.full((2, 4), 7, np.float32))
    spool.keep_chunks(2, 4)
    spool.append_estimates(np.full((2, 4), 8, np.float32))
    assert spool.read_estimates(2, 4).tolist() == [[8] * 4] * 2
    spool.close()


@pytest.mark.parametrize(("damaged", "sound"), [(3, [False, True]), (39, [True, False])])
def test_damage_is_noticed(damaged: int, sound: list[bool], tmp_path: Path) -> None:
    filled(Spool(2, tmp_path, KEY)).close(keep=True)
    with kept(tmp_path)[0].open("r+b") as stream:
        stream.seek(len(scratch.MARKER) + damaged)
        stream.write(b"\x7f")
    spool = Spool(2, tmp_path, KEY, resume=True)
    assert [spool.is_sound(index, 4) for index in range(2)] == sound
    spool.close()


def test_without_resume_it_starts_empty(tmp_path: Path) -> None:
    filled(Spool(2, tmp_path, KEY)).close(keep=True)
    spool = Spool(2, tmp_path, KEY)
    assert spool.finished_chunks(4) == 0
    spool.close()


def test_nothing_is_kept_of_a_run_that_did_nothing(tmp_path: Path) -> None:
    Spool(2, tmp_path, KEY).close(keep=True)
    assert kept(tmp_path) == []


def test_a_second_run_gets_a_spool_of_its_own(tmp_path: Path) -> None:
    first, second = filled(Spool(2, tmp_path, KEY)), Spool(2, tmp_path, KEY)
    assert second.finished_chunks(4) == 0
    second.append_estimates(np.full((2, 4), 7, np.float32))
    second.close(keep=True)
    assert first.finished_chunks(4) == 2
    with pytest.raises(OutputError, match="spool is in use") as caught:
        Spool(2, tmp_path, KEY, resume=True)
    assert "--resume" in caught.value.hint
    first.close(keep=True)
    assert len(kept(tmp_path)) == 1


def test_without_locks_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "fcntl", None)
    filled(Spool(2, tmp_path, KEY)).close(keep=True)
    with pytest.raises(OutputError, match="no locks"):
        Spool(2, tmp_path, KEY, resume=True)


def test_only_our_own_old_estimates_are_forgotten(tmp_path: Path) -> None:
    """What else lies in the folder of `$SEPCLI_SPOOL` is nobody's business."""
    filled(Spool(2, tmp_path, KEY)).close(keep=True)
    (old,) = kept(tmp_path)
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter").write_text("")
    (old.parent / "notes").mkdir()
    for path in (old, thesis, thesis / "chapter", old.parent / "notes"):
        os.utime(path, (0, time.time() - 8 * 24 * 3600))
    Spool(2, tmp_path, spool_key({"path": "b"})).close()
    assert not old.exists()
    assert (thesis / "chapter").exists()
    assert (old.parent / "notes").exists()


def test_planted_estimates_are_not_resumed(tmp_path: Path) -> None:
    Spool(2, tmp_path, KEY).close()
    (folder,) = tmp_path.iterdir()
    (folder / f"{KEY}.estimates").write_bytes(bytes(400))
    with pytest.raises(OutputError, match="not a private file"):
        Spool(2, tmp_path, KEY, resume=True)
    folder.chmod(0o777)
    with pytest.raises(OutputError, match="not a private file or folder"):
        Spool(2, tmp_path, KEY, resume=True)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write the spool") as caught:
        Spool(2, tmp_path / "file", KEY)
    assert "SEPCLI_SPOOL" in caught.value.hint


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(2)
    monkeypatch.setattr(spool._estimates, "_file", Path("/dev/full").open("wb"))  # noqa: SIM115
    with pytest.raises(OutputError, match="No space left"):
        spool.append_estimates(np.zeros((2, 4), np.float32))


def test_a_disk_that_gives_nothing_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    spool = Spool(2)
    monkeypatch.setattr(spool._mixture, "_file", Failing())
    with pytest.raises(OutputError, match=r"cannot read the spool in .*: Input/output error"):
        spool.read_mixture(0, 4)


def test_too_little_room_is_told_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    megabytes = 10 * 10**6
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": megabytes})())
    spool = Spool(2)
    spool.require_space(1, 10**6)  # 8 MB
    with pytest.raises(OutputError, match="not enough space"):
        spool.require_space(2, 10**6)
    spool.require_mixture_space(800_000)  # 9.6 MB with its estimates
    with pytest.raises(OutputError, match="not enough space"):
        spool.require_mixture_space(900_000)


def test_a_mixture_of_unknown_length_does_not_fill_the_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    megabytes = 10 * 10**6
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": megabytes})())
    monkeypatch.setattr(scratch, "STEP_SAMPLES", 100_000)
    spool = Spool(2)
    with pytest.raises(OutputError, match="not enough space"):
        for _ in range(100):
            spool.append_mixture(np.zeros(50_000, np.float32))
    assert spool.num_samples == 1_300_000  # the first step whose estimates have more than 10 MB


def test_keys_tell_recordings_apart() -> None:
    assert spool_key({"path": "a", "size": 1}) == spool_key({"size": 1, "path": "a"})
    assert spool_key({"path": "a"}) != spool_key({"path": "b"})


def test_the_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEPCLI_SPOOL", str(tmp_path))
    assert default_spool_folder() == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SEPCLI_SPOOL", "~/spools")  # no shell has seen it
    assert default_spool_folder() == tmp_path / "spools"
