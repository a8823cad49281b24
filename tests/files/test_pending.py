import errno
import os
import stat

import pytest

from sepcli.errors import OutputError
from sepcli.files import pending
from sepcli.files.pending import HINTS, PendingFile, output_error


def write(path, data=b"new", overwrite=False):
    file = PendingFile(path, overwrite)
    assert file.write(data) == len(data)
    file.close()
    return file


def test_nothing_is_there_until_it_is_published(tmp_path):
    path = tmp_path / "out.wav"
    file = write(path)
    (hidden,) = tmp_path.iterdir()
    assert hidden.name.startswith(".sepcli-")
    file.publish()
    file.discard()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~current_umask()


def current_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_discarded_file_leaves_nothing(tmp_path):
    file = write(tmp_path / "out.wav")
    file.discard()
    file.discard()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="published or discarded"):
        file.publish()


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
@pytest.mark.parametrize("links", [True, False])
def test_what_is_there_is_kept(tmp_path, monkeypatch, kind, links):
    if not links:  # FAT and some network disks

        def refuse(*args, **options):
            raise PermissionError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", refuse)
    path, other = tmp_path / "out.wav", tmp_path / "other"
    if kind == "file":
        path.write_bytes(b"old")
    else:
        path.symlink_to(other)
        if kind == "link":
            other.write_bytes(b"old")
    file = write(path)
    with pytest.raises(OutputError) as caught:
        file.publish()
    assert caught.value.message == f"output is already there: {path}"
    assert caught.value.hint == "use --overwrite to replace it, or --skip-existing to keep it"
    assert caught.value.__cause__.strerror
    file.discard()
    assert sorted(p.name for p in tmp_path.iterdir()) == (
        ["other", "out.wav"] if kind == "link" else ["out.wav"]
    )
    if kind != "dangling":
        assert path.read_bytes() == b"old"


def test_without_links_a_free_name_is_taken(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise NotImplementedError

    monkeypatch.setattr(os, "link", refuse)
    write(tmp_path / "out.wav").publish()
    assert [p.name for p in tmp_path.iterdir()] == ["out.wav"]


def test_overwriting_replaces_a_link_not_what_it_points_at(tmp_path):
    path, other = tmp_path / "out.wav", tmp_path / "input.wav"
    other.write_bytes(b"precious")
    path.symlink_to(other)
    write(path, overwrite=True).publish()
    assert other.read_bytes() == b"precious"
    assert path.read_bytes() == b"new"
    assert not path.is_symlink()
    write(path, b"newer", overwrite=True).publish()
    assert path.read_bytes() == b"newer"


def test_folder_in_the_way(tmp_path):
    path = tmp_path / "out.wav"
    path.mkdir()
    file = write(path, overwrite=True)
    with pytest.raises(OutputError) as caught:
        file.publish()
    assert "folder" in caught.value.hint
    file.discard()
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError, match="cannot write \\(no such file or directory\\): "):
        PendingFile(tmp_path / "no" / "out.wav")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_disk_that_takes_no_more(tmp_path, monkeypatch, code):
    file = PendingFile(tmp_path / "out.wav")
    taken = bytearray()

    def write_some(descriptor, data):
        if len(taken) >= 6:
            raise OSError(code, os.strerror(code))
        taken.extend(data[:3])
        return len(data[:3])

    monkeypatch.setattr(pending.os, "write", write_some)
    file.check()
    assert file.write(b"12345678") == 6
    assert file.write(b"9") == 0  # and does not try again
    assert bytes(taken) == b"123456"
    with pytest.raises(OutputError) as caught:
        file.check()
    what = os.strerror(code).lower()
    assert caught.value.message == f"cannot write ({what}): {tmp_path / 'out.wav'}"
    assert caught.value.hint == HINTS.get(
        code, "check the output folder, or choose another --output-dir"
    )
    file.discard()
    assert list(tmp_path.iterdir()) == []


def test_failure_while_closing_is_kept(tmp_path, monkeypatch):
    file = PendingFile(tmp_path / "out.wav")
    close = os.close

    def fail(descriptor):
        close(descriptor)
        raise OSError(errno.EDQUOT, "quota")

    with monkeypatch.context() as patch:
        patch.setattr(pending.os, "close", fail)
        file.close()
    with monkeypatch.context() as patch:
        closed = []
        patch.setattr(pending.os, "close", closed.append)
        file.close()
    assert closed == []  # not a second time: the number may be another file's by now
    with pytest.raises(OutputError, match="quota"):
        file.check()
    file.discard()


def test_a_temporary_that_somebody_removed_is_no_obstacle(tmp_path):
    file = write(tmp_path / "out.wav")
    (hidden,) = tmp_path.iterdir()
    hidden.unlink()
    file.discard()
    assert list(tmp_path.iterdir()) == []


def test_every_hint_names_a_way_out():
    for code in HINTS:
        error = output_error("x", OSError(code, os.strerror(code)))
        assert "\n" not in error.message + error.hint
        assert "--output-dir" in error.hint or "rename" in error.hint
    assert output_error("x", OSError("odd")).message == "cannot write (odd): x"
    assert output_error("x", OSError()).message == "cannot write (oserror): x"
    assert output_error("x", OSError()).hint.startswith("check the output folder")


def test_reading_back(tmp_path):
    file = PendingFile(tmp_path / "out.wav")
    file.write(b"abcdef")
    assert file.tell() == 6
    assert file.seek(-4, os.SEEK_END) == 2
    assert file.read(2) == b"cd"
    assert file.seek(1) == 1
    file.discard()
