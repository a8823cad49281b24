import errno
import os
import stat
from pathlib import Path

import pytest

from sepcli.errors import OutputError
from sepcli.files import pending
from sepcli.files.pending import HINTS, PendingFile, check_name, output_error, publish_all
from sepcli.files.temporary import is_stale


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
    assert caught.value.hint == HINTS.get(code, "check the folder, or choose another one")
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
        assert "choose another" in error.hint or "rename" in error.hint
        assert "--output-dir" not in error.hint  # files of --segments, --report, sepcli export …
    assert output_error("x", OSError("odd")).message == "cannot write (odd): x"
    assert output_error("x", OSError()).message == "cannot write (oserror): x"
    assert output_error("x", OSError()).hint.startswith("check the folder")


def test_reading_back(tmp_path):
    file = PendingFile(tmp_path / "out.wav")
    file.write(b"abcdef")
    assert file.tell() == 6
    assert file.seek(-4, os.SEEK_END) == 2
    assert file.read(2) == b"cd"
    assert file.seek(1) == 1
    file.discard()


@pytest.fixture(params=["links", "no links"])
def links(request, monkeypatch):
    """Yield whether the disk knows links; FAT and some network disks do not."""

    def refuse(*args, **options):
        raise PermissionError(errno.EPERM, "no links here")

    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse)
    return request.param == "links"


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize("overwrite", [True, False])
def test_all_get_their_names_or_none(tmp_path, links, overwrite):
    paths = [tmp_path / name for name in ("1.wav", "2.wav", "3.wav", "4.wav")]
    if overwrite:
        paths[0].write_bytes(b"old 1")
        paths[2].write_bytes(b"old 3")
    paths[3].mkdir()
    before = contents(tmp_path)
    files = [write(path, overwrite=overwrite) for path in paths]
    with pytest.raises(OutputError) as caught:
        publish_all(files)
    assert "4.wav" in caught.value.message
    for file in files:
        file.discard()
    assert contents(tmp_path) == before
    paths[3].rmdir()
    publish_all([write(path, overwrite=overwrite) for path in paths])
    assert contents(tmp_path) == {path.name: b"new" for path in paths}


@pytest.mark.parametrize("number", range(1, 12))
def test_an_interruption_at_any_moment_leaves_all_old_or_all_new(
    tmp_path, links, monkeypatch, number
):
    """Every call that gives or takes a name is once the one that Ctrl-C comes after."""
    paths = [tmp_path / name for name in ("1.wav", "2.wav", "3.wav")]
    paths[0].write_bytes(b"old 1")
    paths[1].symlink_to("nowhere")
    calls = []

    def interrupted(real):
        def call(*args, **options):
            result = real(*args, **options)
            calls.append(real)
            if len(calls) == number:
                raise KeyboardInterrupt
            return result

        return call

    files = [write(path, overwrite=True) for path in paths]
    with monkeypatch.context() as patch:
        for name in ("link", "replace", "rename", "unlink"):
            patch.setattr(os, name, interrupted(getattr(os, name)))
        try:
            publish_all(files)
            is_new = True
        except KeyboardInterrupt:
            is_new = calls[number - 1].__name__ == "unlink"  # all had their names
        for file in files:
            file.discard()
    hidden = [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    if is_new:
        assert {p.name: p.read_bytes() for p in paths} == {p.name: b"new" for p in paths}
    else:
        assert paths[0].read_bytes() == b"old 1"
        assert paths[1].readlink() == Path("nowhere")
        assert not paths[2].exists()
        assert hidden == []


def test_what_another_run_put_there_meanwhile_is_not_taken_away(tmp_path, links):
    paths = [tmp_path / "1.wav", tmp_path / "2.wav"]
    paths[1].mkdir()
    files = [write(path, overwrite=True) for path in paths]
    real = PendingFile._take_name

    def replaced(file):
        real(file)
        other = tmp_path / "other"
        other.write_bytes(b"another run's")
        other.replace(file.path)

    files[0]._take_name = lambda: replaced(files[0])
    with pytest.raises(OutputError):
        publish_all(files)
    assert paths[0].read_bytes() == b"another run's"


def test_without_links_the_only_copy_is_no_leftover(tmp_path, monkeypatch):
    """Killed while an old file had given up its name, it is there under another one for good."""
    monkeypatch.setattr(os, "link", lambda *args, **options: (_ for _ in ()).throw(OSError()))
    path = tmp_path / "1.wav"
    path.write_bytes(b"old")
    file = write(path, overwrite=True)
    file._set_aside()
    (aside,) = [p for p in tmp_path.iterdir() if p.suffix == ".old"]
    assert aside.read_bytes() == b"old"
    assert not path.exists()
    assert not is_stale(aside.name)
    file.discard()


@pytest.mark.parametrize("unit", ["x", "é"])
def test_names_that_no_file_can_have(tmp_path, unit):
    size = len(unit.encode())
    longest = tmp_path / "not there" / (unit * (255 // size))
    check_name(longest)
    with pytest.raises(OutputError, match="file name too long") as caught:
        check_name(longest.with_name(longest.name + unit))
    assert "rename" in caught.value.hint
    deep = tmp_path.joinpath(*["d" * 200] * 20)
    with pytest.raises(OutputError, match="file name too long"):
        check_name(deep / "1.wav")


def test_a_system_that_tells_no_limits(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "pathconf")
    check_name(tmp_path / ("x" * 255))
    with pytest.raises(OutputError):
        check_name(tmp_path / ("x" * 256))
