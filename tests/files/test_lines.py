import json
import threading
from pathlib import Path

import pytest

from sepcli.errors import OutputError
from sepcli.files import lines_added


def lines(*names: str, who: str = "a") -> bytes:
    return b"".join(json.dumps({"name": f"{who}/{name}"}).encode() + b"\n" for name in names)


def add(path: Path, content: bytes, mark: bytes) -> tuple[bytes, ...]:
    with lines_added(path, content, lambda line: mark in line) as added:
        if added.anew is not None:
            added.anew.publish()
        return added.replaced


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    assert add(path, lines("1", "2"), b'"a/') == ()
    assert add(path, lines("1", who="b"), b'"b/') == ()
    assert add(path, b"", b'"c/') == ()
    assert path.read_bytes() == lines("1", "2") + lines("1", who="b")


def test_lines_with_the_mark_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(lines("1") + lines("1", who="b") + lines("2"))
    assert add(path, lines("3"), b'"a/') == (lines("1"), lines("2"))
    assert path.read_bytes() == lines("1", who="b") + lines("3")
    assert [each.name for each in tmp_path.iterdir()] == ["x.jsonl"]


@pytest.mark.parametrize("before", [b"", lines("1", who="b"), lines("1")])
def test_where_the_block_raises_nothing_is_changed(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(before)
    with pytest.raises(ValueError), lines_added(path, lines("2"), lambda line: b'"a/' in line):
        raise ValueError
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["x.jsonl"]


@pytest.mark.parametrize("size", [10, 200_000])
def test_a_line_that_a_killed_run_left_half_goes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(lines("1") + b'{"name": "' + b"x" * size)
    add(path, lines("1", who="b"), b'"b/')
    assert path.read_bytes() == lines("1") + lines("1", who="b")


def test_a_whole_line_without_an_end_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(lines("1").rstrip())  # as some editors leave it
    add(path, lines("1", who="b"), b'"b/')
    assert path.read_bytes() == lines("1") + lines("1", who="b")


def test_runs_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(lines("0"))

    def work(who: str) -> None:
        for number in range(20):  # each replaces its own line: the file is another one then
            add(path, lines(str(number), who=who), f'"{who}/'.encode())

    threads = [threading.Thread(target=work, args=(who,)) for who in "bcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {lines("0"), *(lines("19", who=who) for who in "bcd")}
    assert set(path.read_bytes().splitlines(keepends=True)) == expected


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        add(tmp_path / "none" / "x.jsonl", lines("1"), b"a")
    with pytest.raises(OutputError, match="is a directory"):
        add(tmp_path, lines("1"), b"a")
