import os
import re
import stat
from pathlib import Path

import pytest

from sepcli.files import temporary
from sepcli.files.temporary import (
    create_temporary,
    forget_temporary,
    host_token,
    is_stale,
    printable,
)
from tests.files.processes import dead_pid


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain name.wav", "plain name.wav"),
        ("grün 🎤.wav", "grün 🎤.wav"),
        ("a\nb\tc.wav", r"a\nb\tc.wav"),
        ("\x1b[2J.wav", r"\x1b[2J.wav"),
        ("\u202egnp.wav", r"\u202egnp.wav"),
        (os.fsdecode(b"\xff\xfe.wav"), r"\xff\xfe.wav"),
        (os.fsdecode(b"caf\xe9.wav"), r"caf\xe9.wav"),
        ("\ud800", r"\ud800"),
        (Path("a/b.wav"), "a/b.wav"),
    ],
)
def test_printable(name, expected):
    assert printable(name) == expected
    printable(name).encode("utf-8")


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def test_temporary_is_hidden_new_and_obeys_the_umask(tmp_path, umask):
    descriptor, path = create_temporary(tmp_path)
    try:
        assert path.parent == tmp_path
        pattern = rf"\.sepcli-[0-9a-f]{{8}}-{os.getpid()}-[0-9a-f]{{16}}\.part"
        assert re.fullmatch(pattern, path.name)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        os.write(descriptor, b"x")
        os.lseek(descriptor, 0, os.SEEK_SET)
        assert os.read(descriptor, 2) == b"x"
        assert create_temporary(tmp_path)[1] != path
    finally:
        os.close(descriptor)


def test_a_name_that_is_taken_is_left_alone(tmp_path, monkeypatch):
    tokens = iter([b"\x11", b"\x11", b"\x22"])
    monkeypatch.setattr(temporary.os, "urandom", lambda size: size * next(tokens))
    _, first = create_temporary(tmp_path)
    first.unlink()
    first.symlink_to(tmp_path / "elsewhere")  # somebody guessed it
    _, second = create_temporary(tmp_path)
    assert second.name.endswith("2" * 16 + ".part")
    assert not (tmp_path / "elsewhere").exists()
    assert is_stale(first.name)  # nobody's any more
    assert not is_stale(second.name)


def test_folder_that_is_not_there(tmp_path):
    before = set(temporary._own)
    with pytest.raises(FileNotFoundError):
        create_temporary(tmp_path / "no")
    assert temporary._own == before


def name_of(pid: object, host: str | None = None) -> str:
    return f".sepcli-{host or host_token()}-{pid}-{'a' * 16}.part"


def test_stale_is_what_a_dead_process_of_this_machine_left(tmp_path):
    assert is_stale(name_of(dead_pid()))
    assert not is_stale(name_of(os.getppid()))
    assert not is_stale(name_of(dead_pid(), "00000000"))  # another machine


def test_process_that_may_not_be_signalled_is_alive(monkeypatch):
    def refuse(pid, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert not is_stale(name_of(12345))


def test_own_pid_is_stale_only_after_a_restart(tmp_path):
    assert is_stale(name_of(os.getpid()))  # an earlier container's process with our number
    descriptor, path = create_temporary(tmp_path)
    os.close(descriptor)
    assert not is_stale(path.name)
    forget_temporary(path)
    assert is_stale(path.name)


def test_other_names_are_never_stale():
    dead = name_of(dead_pid())
    assert is_stale(dead)
    for name in (
        "x.wav",
        ".sepcli-",
        ".sepcli-.part",
        ".sepcli-notes.txt",
        name_of("x"),
        name_of("-1"),
        name_of(10**30),
        dead + "x",
        dead.replace(".part", "-b.part"),
        "x" + dead,
    ):
        assert not is_stale(name), name


def test_host_token_without_proc(monkeypatch):
    with_namespace = host_token()
    assert re.fullmatch("[0-9a-f]{8}", with_namespace)

    def missing(path):
        raise FileNotFoundError

    monkeypatch.setattr(os, "readlink", missing)
    assert re.fullmatch("[0-9a-f]{8}", host_token())


def test_host_token_tells_machines_apart(monkeypatch):
    here = host_token()
    monkeypatch.setattr(temporary.platform, "node", lambda: "elsewhere")
    assert host_token() != here


def test_host_token_tells_containers_apart(monkeypatch):
    def token_in(namespace):
        names_of = {"/proc/self/ns/pid": namespace}
        monkeypatch.setattr(os, "readlink", lambda path: names_of[path])
        return host_token()

    assert token_in("pid:[1]") != token_in("pid:[2]")
    assert token_in("pid:[1]") == token_in("pid:[1]")


def test_nothing_is_known_where_asking_would_kill(monkeypatch):
    pid = dead_pid()
    assert not temporary._is_alive(pid)
    monkeypatch.setattr(temporary.os, "name", "nt")
    assert temporary._is_alive(pid)
