import errno
import os
from pathlib import Path

import pytest

from sepcli.errors import OutputError
from sepcli.files.whole import refuse_taken, whole_file, write_whole
from tests.files.processes import leave_temporary


def test_a_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with whole_file(path) as file:
        file.write(b"half")
        assert not path.exists()
        file.seek(0)
        assert file.read() == b"half"
    assert path.read_bytes() == b"half"
    write_whole(path, b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"new"]


def test_what_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    write_whole(path, b"old")
    with pytest.raises(KeyError), whole_file(path) as file:
        file.write(b"half")
        raise KeyError

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match="no space left on device"):
        write_whole(path, b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_what_a_killed_run_left_goes(tmp_path: Path) -> None:
    leave_temporary(tmp_path)
    write_whole(tmp_path / "table.csv", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write_whole(tmp_path / "no" / "table.csv", b"")


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "table.csv").mkdir()
    with pytest.raises(OutputError, match="is a directory"):
        write_whole(tmp_path / "table.csv", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_a_folder_that_takes_no_files_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    refuse_taken(tmp_path / "table.csv", overwrite=False)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("sepcli.files.pending.create_temporary", refuse)
    with pytest.raises(OutputError, match=f"cannot write \\(read-only file system\\): {tmp_path}"):
        refuse_taken(tmp_path / "table.csv", overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_has_a_name_is_kept_or_replaced_if_it_is_a_file(
    tmp_path: Path, overwrite: bool
) -> None:
    refuse_taken(tmp_path / "free.csv", overwrite=overwrite)
    (tmp_path / "file.csv").touch()
    (tmp_path / "device").symlink_to(os.devnull)
    refused = {"device": "not a file", "absent/file.csv": "no such folder"}
    refused |= {} if overwrite else {"file.csv": "output is already there"}
    for name, message in refused.items():
        with pytest.raises(OutputError, match=message):
            refuse_taken(tmp_path / name, overwrite=overwrite)
    if overwrite:
        refuse_taken(tmp_path / "file.csv", overwrite=True)
