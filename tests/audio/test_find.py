import os
import socket
import tempfile
from pathlib import Path

import pytest

from sepcli.audio.find import EXTENSIONS, find_audio_files
from sepcli.errors import AudioError


def make(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def found(path: Path, **options) -> list[str]:
    return [str(p.relative_to(path)) for p in find_audio_files(path, **options)]


def notes(path: Path, **options) -> tuple[list[Path], list[tuple[str, str]]]:
    skipped: list[tuple[str, str]] = []
    files = find_audio_files(path, on_skip=lambda p, why: skipped.append((p.name, why)), **options)
    return files, skipped


@pytest.mark.parametrize("name", ["x.wav", "x", "x.txt", ".hidden.wav", "-x.wav"])
def test_named_file_is_taken_whatever_its_name(tmp_path, name):
    (path,) = make(tmp_path, name)
    assert find_audio_files(path) == [path]


def test_folder_gives_recordings_sorted(tmp_path):
    make(tmp_path, "b.wav", "a.flac", "C.MP3", "notes.txt", "no-ending", "10.ogg", "9.ogg")
    assert found(tmp_path) == ["10.ogg", "9.ogg", "C.MP3", "a.flac", "b.wav"]


def test_hidden_files_and_our_temporaries_are_passed_over(tmp_path):
    make(tmp_path, "a.wav", ".b.wav", ".sepcli-0-1-2.part", ".sepcli-x.wav", ".trash/c.wav")
    assert found(tmp_path, recursive=True) == ["a.wav"]


def test_sub_folders_only_when_asked_for(tmp_path):
    make(tmp_path, "a.wav", "sub/b.wav", "sub/deep/c.wav", "sub.wav/d.wav")
    assert found(tmp_path) == ["a.wav"]
    assert found(tmp_path, recursive=True) == [
        "a.wav",
        "sub.wav/d.wav",
        "sub/b.wav",
        "sub/deep/c.wav",
    ]


def test_names_that_are_hard_to_print(tmp_path):
    names = ["line\nbreak.wav", "🎤.wav", "-o.wav", "a b.wav", "\x1b[31m.wav"]
    make(tmp_path, *names)
    raw = os.fsencode(tmp_path) + b"/\xff\xfe.wav"
    Path(os.fsdecode(raw)).touch()
    files = find_audio_files(tmp_path)
    assert {os.fsencode(p.name) for p in files} == {b"\xff\xfe.wav", *map(os.fsencode, names)}
    assert files == sorted(files, key=os.fsencode)
    assert find_audio_files(Path(os.fsdecode(raw))) == [Path(os.fsdecode(raw))]


def test_links_are_followed_and_loops_end(tmp_path):
    folder = tmp_path / "in"
    make(folder, "a.wav", "sub/b.wav")
    make(tmp_path, "elsewhere/c.wav")
    (folder / "loop").symlink_to(folder)
    (folder / "sub" / "up").symlink_to("..")
    (folder / "other").symlink_to(tmp_path / "elsewhere")
    (folder / "linked.wav").symlink_to(folder / "a.wav")
    assert found(folder, recursive=True) == ["a.wav", "linked.wav", "other/c.wav", "sub/b.wav"]


def test_what_cannot_be_a_recording_is_skipped_with_a_note(tmp_path):
    make(tmp_path, "a.wav")
    (tmp_path / "dangling.wav").symlink_to("nowhere")
    (tmp_path / "dangling.txt").symlink_to("nowhere")
    (tmp_path / "self.wav").symlink_to("self.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "to pipe.wav").symlink_to("pipe.wav")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "s.wav"))
        files, skipped = notes(tmp_path)
    assert files == [tmp_path / "a.wav"]
    assert sorted(skipped) == [
        ("dangling.wav", "a link that leads nowhere"),
        ("pipe.wav", "not a regular file"),
        ("s.wav", "not a regular file"),
        ("self.wav", "a link that leads nowhere"),
        ("to pipe.wav", "not a regular file"),
    ]
    assert find_audio_files(tmp_path) == files  # nobody has to listen


def test_folder_that_may_not_be_listed(tmp_path, monkeypatch):
    make(tmp_path, "a.wav", "sub/b.wav")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == blocked:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    blocked = "sub"
    files, skipped = notes(tmp_path, recursive=True)
    assert files == [tmp_path / "a.wav"]
    assert skipped == [("sub", "cannot be listed (permission denied)")]
    blocked = tmp_path.name
    with pytest.raises(AudioError, match="folder cannot be listed: "):
        find_audio_files(tmp_path)


@pytest.mark.parametrize(
    ("names", "recursive", "hint"),
    [
        ([], False, "the folder is empty"),
        ([".hidden"], False, "the folder is empty"),
        (
            ["a.txt", "b.TXT", "c.pdf", "d"],
            False,
            "found there: 2 .txt, 1 .pdf, 1 without an ending",
        ),
        (
            ["s/a.wav"],
            False,
            "found there: 1 sub-folder; use --recursive to search sub-folders",
        ),
        (
            ["x.txt", "s/a", "t/a"],
            False,
            "found there: 1 .txt, 2 sub-folders; use --recursive to search sub-folders",
        ),
        (["s/a.txt"], True, "found there: 1 .txt, 1 sub-folder"),
        (["a.1", "a.2", "a.3", "a.4", "a.5"], False, "found there: 1 .1, 1 .2, 1 .3, 1 .4"),
    ],
)
def test_folder_without_recordings_says_what_is_there(
    tmp_path, monkeypatch, names, recursive, hint
):
    make(tmp_path, *names)
    scandir = os.scandir

    class Sorted:
        """The order of a folder's entries is the disk's; the hint's is that of first sight."""

        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(os, "scandir", Sorted)
    with pytest.raises(AudioError) as caught:
        find_audio_files(tmp_path, recursive)
    assert caught.value.message == f"no recordings in the folder: {tmp_path}"
    assert caught.value.hint == hint


def test_ten_thousand_files():
    memory = "/dev/shm"  # a busy disk takes a minute for as many files
    with tempfile.TemporaryDirectory(dir=memory if Path(memory).is_dir() else None) as folder:
        for i in range(10_000):
            os.mknod(f"{folder}/{i:05}.wav")
        files = find_audio_files(Path(folder))
    assert len(files) == 10_000
    assert files[1234].name == "01234.wav"


def test_very_deep_folders(tmp_path):
    folder = tmp_path.joinpath(*["d"] * 200)
    folder.mkdir(parents=True)
    (folder / "a.wav").touch()
    assert find_audio_files(tmp_path, recursive=True) == [folder / "a.wav"]


def test_named_things_that_are_no_recording(tmp_path):
    with pytest.raises(AudioError, match="no such file: "):
        find_audio_files(tmp_path / "no.wav")
    with pytest.raises(AudioError, match="file name too long"):
        find_audio_files(tmp_path / ("x" * 300))
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match="a named pipe, not a recording: "):
        find_audio_files(tmp_path / "pipe.wav")


def test_endings_are_small_letters_with_a_dot():
    assert all(e.startswith(".") and e == e.lower() for e in EXTENSIONS)
    assert {".wav", ".flac", ".ogg", ".mp3", ".m4a", ".opus", ".aiff", ".w64"} <= EXTENSIONS


@pytest.mark.parametrize("closed", ["a", "b", "c"])
def test_a_folder_that_cannot_be_listed_does_not_hide_the_others(tmp_path, monkeypatch, closed):
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.wav").touch()
    scandir = os.scandir

    def refuse(folder):
        if Path(folder).name == closed:
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    notes = []
    found = find_audio_files(tmp_path, True, lambda path, why: notes.append((path.name, why)))
    assert [path.parent.name for path in found] == sorted(set("abc") - {closed})
    assert notes == [(closed, "cannot be listed (permission denied)")]
