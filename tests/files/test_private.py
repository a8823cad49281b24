import os
import re
import stat
import threading
import time
from pathlib import Path

import pytest

from sepcli.errors import OutputError
from sepcli.files import private
from sepcli.files.private import open_private, private_folder, remove_old

MARKER = b"ours\n"
NAME = re.compile(r"[0-9]\.kept")
WEEK = 7 * 24 * 3600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return private_folder(tmp_path, "own")


def put(path: Path, data: bytes = MARKER + b"data", days: float = 8) -> Path:
    path.write_bytes(data)
    os.utime(path, (0, time.time() - days * 24 * 3600))
    return path


def be_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process take all files that are there for another user's."""
    monkeypatch.setattr(private, "_is_ours", lambda status: False)


def test_the_folder_is_for_nobody_else(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = private_folder(tmp_path / "not" / "there", "own")
    finally:
        os.umask(before)
    assert folder == tmp_path / "not/there" / f"own-{os.geteuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert private_folder(folder.parent, "own") == folder


def test_a_folder_that_others_made_or_may_use_is_refused(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.chmod(0o770)
    with pytest.raises(OutputError, match="not a private file or folder") as caught:
        private_folder(tmp_path, "own")
    assert "SEPCLI_SPOOL" in caught.value.hint
    folder.chmod(0o700)
    be_somebody_else(monkeypatch)
    with pytest.raises(OutputError):
        private_folder(tmp_path, "own")


def test_a_link_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / f"own-{os.geteuid()}").symlink_to("elsewhere")
    with pytest.raises(OutputError):
        private_folder(tmp_path, "own")


def test_a_file_begins_with_the_marker_and_keeps_what_follows(folder: Path) -> None:
    file = open_private(folder / "1.kept", MARKER)
    assert file is not None
    assert file.tell() == len(MARKER)
    file.write(b"more")
    file.close()
    assert (folder / "1.kept").read_bytes() == MARKER + b"more"
    assert stat.S_IMODE((folder / "1.kept").stat().st_mode) == 0o600
    again = open_private(folder / "1.kept", MARKER)
    assert again is not None
    assert again.read() == b"more"
    again.close()


def test_a_file_whose_marker_was_cut_short_is_begun_again(folder: Path) -> None:
    put(folder / "1.kept", MARKER[:2])
    file = open_private(folder / "1.kept", MARKER)
    assert file is not None
    file.close()
    assert (folder / "1.kept").read_bytes() == MARKER


def test_a_file_in_use_is_not_shared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_private(folder / "1.kept", MARKER)
    assert first is not None
    assert open_private(folder / "1.kept", MARKER) is None
    first.close()
    monkeypatch.setattr(private, "fcntl", None)  # a system without locks
    assert open_private(folder / "1.kept", MARKER) is None


def test_links_and_other_files_are_neither_followed_nor_changed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = put(tmp_path / "thesis", b"precious")
    (folder / "1.kept").symlink_to(precious)
    (folder / "2.kept").hardlink_to(precious)
    put(folder / "3.kept", b"not begun with the marker")
    os.mkfifo(folder / "4.kept")
    (folder / "5.kept").symlink_to("nowhere")
    for number in range(1, 6):
        with pytest.raises(OutputError, match="not a private file or folder"):
            open_private(folder / f"{number}.kept", MARKER)
    put(folder / "6.kept")
    be_somebody_else(monkeypatch)
    with pytest.raises(OutputError, match="not a private file or folder"):
        open_private(folder / "6.kept", MARKER)
    assert precious.read_bytes() == b"precious"
    assert (folder / "3.kept").read_bytes() == b"not begun with the marker"
    assert not (folder / "nowhere").exists()


def test_a_file_that_its_owner_removes_meanwhile_is_made_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "1.kept"
    lock = private._lock
    calls = []

    def locked_too_late(descriptor: int) -> bool:
        if not calls:
            path.unlink()
        calls.append(descriptor)
        return lock(descriptor)

    monkeypatch.setattr(private, "_lock", locked_too_late)
    file = open_private(path, MARKER)
    assert file is not None
    assert path.read_bytes() == MARKER
    file.close()


def test_only_what_is_old_free_and_ours_is_removed(folder: Path, tmp_path: Path) -> None:
    precious = put(tmp_path / "thesis", MARKER)
    old = put(folder / "1.kept")
    (folder / "2.kept").symlink_to(precious)
    (folder / "3.kept").mkdir()
    os.utime(folder / "3.kept", (0, 0))
    kept = [
        put(folder / "4.kept", days=6),
        put(folder / "5.kept", b"not begun with the marker"),
        put(folder / "6.kept.txt"),
        put(folder / "a.kept"),
    ]
    used = put(folder / "7.kept")
    file = open_private(used, MARKER)
    assert file is not None
    remove_old(folder, NAME, MARKER, WEEK)
    assert not old.exists()
    assert all(path.exists() for path in [precious, used, *kept])
    assert (folder / "2.kept").is_symlink()
    assert (folder / "3.kept").is_dir()
    file.close()
    remove_old(folder, NAME, MARKER, WEEK)
    assert not used.exists()


def test_many_openers_never_share_a_file(folder: Path) -> None:
    path, errors, inside = folder / "1.kept", [], []

    def use() -> None:
        for _ in range(100):
            file = open_private(path, MARKER)
            if file is None:
                continue
            inside.append(1)
            if len(inside) > 1:
                errors.append("two at once")
            inside.pop()
            path.unlink()  # from here on the next one may make its own
            file.close()

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
