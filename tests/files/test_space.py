import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from sepcli.errors import OutputError
from sepcli.files.space import format_bytes, remove_stale_temporaries, require_free_space
from sepcli.files.temporary import create_temporary, host_token
from tests.files.processes import dead_pid

Usage = namedtuple("Usage", "total used free")


def test_enough_room_is_silent(tmp_path, monkeypatch):
    asked = []

    def usage(path):
        path.stat()  # as the real one, it wants something that exists
        asked.append(path)
        return Usage(0, 0, 1000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    (tmp_path / "file").touch()
    require_free_space(tmp_path / "not" / "there yet", 1000, "outputs")
    require_free_space(tmp_path / "file" / "in it", 1000, "outputs")
    assert asked == [tmp_path, tmp_path / "file"]


def test_too_little_room_names_both_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 1_500_000))
    with pytest.raises(OutputError) as caught:
        require_free_space(tmp_path, 2_000_000_000, "the spool")
    assert caught.value.message == (
        f"not enough space for the spool in {tmp_path}: 2.0 GB needed, 1.5 MB free"
    )
    assert caught.value.hint == (
        "free some space, or choose another disk; that of temporary files with TMPDIR and "
        "SEPCLI_SPOOL"
    )


def test_real_disk(tmp_path):
    require_free_space(tmp_path, 1, "outputs")
    with pytest.raises(OutputError):
        require_free_space(tmp_path, 1 << 80, "outputs")


def test_relative_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    require_free_space(Path("separated"), 1, "outputs")


def test_disk_that_does_not_tell_is_not_an_obstacle(tmp_path, monkeypatch):
    def fail(path):
        raise OSError

    monkeypatch.setattr(shutil, "disk_usage", fail)
    require_free_space(tmp_path, 1 << 80, "outputs")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_400, "999.4 kB"),
        (999_500, "1.0 MB"),
        (2_500_000_000, "2.5 GB"),
        (1_200_000_000_000, "1.2 TB"),
        (5_000_000_000_000_000, "5000.0 TB"),
    ],
)
def test_sizes_in_words(size, text):
    assert format_bytes(size) == text


def test_only_leftovers_of_the_dead_are_removed(tmp_path):
    descriptor, living = create_temporary(tmp_path)
    os.close(descriptor)
    left = [tmp_path / f".sepcli-{host_token()}-{dead_pid()}-{i:016x}.part" for i in range(2)]
    others = [tmp_path / ".sepcli-config", tmp_path / "x.wav"]
    for path in left + others:
        path.touch()
    (tmp_path / f".sepcli-{host_token()}-{dead_pid()}-{9:016x}.part").mkdir()  # cannot be unlinked
    remove_stale_temporaries(tmp_path)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in [living, *others])


def test_folder_that_cannot_be_listed_is_passed_over(tmp_path):
    remove_stale_temporaries(tmp_path / "no")
