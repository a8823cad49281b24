import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sepcli.errors import OutputError
from sepcli.separation.jobs import Job
from sepcli.separation.output_checks import prepare_folder, refuse_unwritable
from sepcli.separation.writing import OutputOptions


def job_in(folder: Path) -> Job:
    return Job(folder / "a.wav", (folder / "a_spk1.wav",), segments=folder / "cut" / "a")


@pytest.mark.parametrize("options", [OutputOptions(), OutputOptions(skip_existing=True)])
def test_a_folder_that_holds_segments_is_not_written_to(
    tmp_path: Path, options: OutputOptions
) -> None:
    job = job_in(tmp_path)
    refuse_unwritable(job, options)
    (tmp_path / "cut" / "a").mkdir(parents=True)
    refuse_unwritable(job, options)
    for name in ("mine.txt", "b_spk1.wav", "b_0001.rttm", "b_0001_spk2.wav", ".sepcli-1.part"):
        (tmp_path / "cut" / "a" / name).touch()  # no names of segments
    refuse_unwritable(job, options)
    (tmp_path / "cut" / "a" / "spk1_0001.flac").touch()
    with pytest.raises(OutputError, match=f"there: {job.segments}"):
        refuse_unwritable(job, options)
    refuse_unwritable(job, OutputOptions(overwrite=True))


@pytest.mark.parametrize("options", [OutputOptions(), OutputOptions(overwrite=True)])
def test_a_file_in_the_place_of_the_folder_is_never_replaced(
    tmp_path: Path, options: OutputOptions
) -> None:
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "a").touch()
    with pytest.raises(OutputError, match="cannot write \\(not a directory\\)") as refused:
        refuse_unwritable(job_in(tmp_path), options)
    assert "a file has the name of that folder" in refused.value.hint


def test_a_folder_that_cannot_be_looked_into_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "cut" / "a").mkdir(parents=True)
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(OutputError, match="cannot write \\(permission denied\\)"):
        refuse_unwritable(job_in(tmp_path), OutputOptions())


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_in_the_place_of_an_output_folder_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write \\(not a directory\\)") as refused:
        prepare_folder(tmp_path / name)
    assert "a file has the name of that folder" in refused.value.hint


def test_another_run_may_make_the_folder_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    answers = iter([False])  # asked before it is made
    is_dir = Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda path: next(answers, is_dir(path)))
    folder.mkdir()
    prepare_folder(folder)


def test_why_an_output_folder_takes_no_files_is_what_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("sepcli.files.pending.create_temporary", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="cannot write \\(read-only file system\\)") as refused:
        prepare_folder(tmp_path)
    assert "read-only" in refused.value.hint
