"""What a section of models.toml may say."""

from pathlib import Path
from typing import Any

import pytest

from sepcli.errors import ModelError
from sepcli.models.entry import check_repo, make_entry
from sepcli.models.foreign import shown

BODY: dict[str, Any] = {
    "architecture": "spgm",
    "format": "mixin",
    "files": ["config.json?", "a.safetensors|b.bin"],
    "speakers": 2,
    "sample_rate": 8000,
    "repo": "org/name",
}


def test_fills_what_is_left_out_and_freezes_the_rest() -> None:
    entry = make_entry("x", BODY | {"config": {"bands": [1, 2]}, "chunk_seconds": 4}, source="t")
    assert (entry.name, entry.revision, entry.level) == ("x", "main", "fit")
    assert (entry.chunk_seconds, entry.folder, entry.builtin) == (4, None, False)
    assert entry.files == ("config.json?", "a.safetensors|b.bin")
    assert entry.config["bands"] == (1, 2)
    with pytest.raises(TypeError):
        entry.config["bands"] = ()  # type: ignore[index]


WRONG = "wrong value in model entry x of models.toml: "


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arcitecture": "spgm"}, "unknown key in model entry x of models.toml: arcitecture"),
        ({"speakers": "two"}, WRONG + "speakers must be a whole number, is 'two'"),
        ({"speakers": True}, WRONG + "speakers must be a whole number, is True"),
        ({"speakers": 0}, WRONG + "speakers must be 1 to 64, is 0"),
        ({"speakers": 65}, WRONG + "speakers must be 1 to 64, is 65"),
        ({"sample_rate": 999}, WRONG + "sample_rate must be 1000 to 384000, is 999"),
        ({"chunk_seconds": "8"}, WRONG + "chunk_seconds must be a number, is '8'"),
        ({"repo": 1}, WRONG + "repo must be a string, is 1"),
        ({"config": []}, WRONG + "config must be a table, is a list of 0"),
        ({"files": "a.bin"}, WRONG + "files must be a list, is 'a.bin'"),
        ({"files": []}, WRONG + "files is empty"),
        ({"files": [3]}, WRONG + "files must be a string, is 3"),
        ({"architecture": "../x"}, WRONG + "architecture is '../x'"),
        ({"format": "a.b"}, WRONG + "format is 'a.b'"),
        ({"level": "loud"}, WRONG + "level must be one of fit, as-is, is 'loud'"),
        ({"overlap_seconds": 8.0}, WRONG + "overlap_seconds is 8.0, chunk_seconds is 8.0"),
        ({"chunk_seconds": 2.0}, WRONG + "overlap_seconds is 2.0, chunk_seconds is 2.0"),
        ({"chunk_seconds": 1e6}, WRONG + "overlap_seconds is 2.0, chunk_seconds is 1000000.0"),
        ({"overlap_seconds": -1.0}, WRONG + "overlap_seconds is -1.0, chunk_seconds is 8.0"),
        ({"repo": "only-a-name"}, "not a repository of the hub: only-a-name"),
        ({"repo": ""}, "not a repository of the hub: "),
        ({"scores": {"x": "high"}}, WRONG + "scores 'x' must be a number, is 'high'"),
        ({"sha256": {"x": 1}}, WRONG + "sha256 'x' must be a string, is 1"),
        (
            {"download_bytes": 2**60},
            WRONG + f"download_bytes must be at most {2**53}, is beyond 10^18",
        ),
        ({"name": "y"}, "unknown key in model entry x of models.toml: name"),
    ],
)
def test_refuses_what_makes_no_sense_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        make_entry("x", BODY | change, source="models.toml")
    assert caught.value.message == message


@pytest.mark.parametrize(
    "name", ["../a", "a/../../b", "/etc/passwd", "a\nb", "", "a|/b", "a|?", "..\\a", "C:a", "a:b"]
)
def test_a_file_name_stays_in_its_folder(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        make_entry("x", BODY | {"files": [name]}, source="models.toml")
    assert caught.value.message == f"{WRONG}file name {shown(name)}"


def test_a_message_holds_no_more_of_a_value_than_a_line() -> None:
    with pytest.raises(ModelError) as caught:
        make_entry("x", BODY | {"speakers": "9" * 9000}, source="models.toml")
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"fall_back": 2}, "did you mean fallback?"),
        ({"overlap_seconds": 9.0}, "make the overlap shorter than the chunk"),
        ({"repo": "only-a-name"}, "write it as hf:ORG/NAME"),
    ],
)
def test_says_what_to_do(change: dict[str, Any], hint: str) -> None:
    with pytest.raises(ModelError) as caught:
        make_entry("x", BODY | change, source="models.toml")
    assert caught.value.hint == hint


def test_a_large_file_is_no_absurd_size() -> None:
    entry = make_entry("x", BODY | {"download_bytes": 670_000_000}, source="t")
    assert entry.download_bytes == 670_000_000


def test_takes_the_ends_of_what_makes_sense() -> None:
    for change in ({"speakers": 1, "sample_rate": 1000}, {"speakers": 64, "sample_rate": 384_000}):
        assert make_entry("x", BODY | change, source="t").speakers == change["speakers"]
    assert make_entry("x", BODY | {"overlap_seconds": 0.0}, source="t").overlap_seconds == 0
    assert make_entry("x", BODY | {"chunk_seconds": 2.5}, source="t").chunk_seconds == 2.5
    assert make_entry("x", BODY | {"level": "as-is"}, source="t").level == "as-is"
    entry = make_entry("x", BODY | {"scores": {"a": 1, "b": 2.5}, "sha256": {"c": "d"}}, source="t")
    assert (dict(entry.scores), dict(entry.sha256)) == ({"a": 1, "b": 2.5}, {"c": "d"})


@pytest.mark.parametrize("key", ["architecture", "format", "files", "speakers", "sample_rate"])
def test_names_the_missing_key(key: str) -> None:
    body = {name: value for name, value in BODY.items() if name != key}
    with pytest.raises(ModelError) as caught:
        make_entry("x", body, source="t")
    assert caught.value.message == f"missing key in model entry x of t: {key}"
    assert caught.value.hint == f"add a line `{key} = ...`"


def test_needs_a_repository_or_a_folder() -> None:
    body = {name: value for name, value in BODY.items() if name != "repo"}
    with pytest.raises(ModelError) as caught:
        make_entry("x", body, source="t")
    assert caught.value.message == "missing key in model entry x of t: repo"
    assert caught.value.hint == "add the hub repository: repo = `ORG/NAME`"
    assert make_entry("x", body, source="t", folder=Path("f")).folder == Path("f")


@pytest.mark.parametrize("repo", ["a", "a/b/c", "../b", "a/..", "-a/b c", "a/b\n", ""])
def test_a_repository_is_an_organisation_and_a_name(repo: str) -> None:
    with pytest.raises(ModelError):
        check_repo(repo)
    assert check_repo("a-1/b_2.c") == "a-1/b_2.c"


AT_ADDRESS = BODY | {
    "files": ["w.pth"],
    "address": "https://host.example/{repo}/{revision}/{file}",
    "sha256": {"w.pth": 64 * "0"},
}


def test_files_may_have_an_address() -> None:
    assert make_entry("x", AT_ADDRESS, source="t").address == AT_ADDRESS["address"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"address": "https://host.example/w.zip"}, WRONG + "address is"),
        ({"address": "ftp://host.example/{file}"}, WRONG + "address is"),
        ({"address": "https://host.example/{file}/{name}"}, WRONG + "address is"),
        ({"address": "https://host.example/{file}{"}, WRONG + "address is"),
        ({"revision": "../main"}, WRONG + r"revision is '../main'"),
        ({"sha256": {}}, "missing sha256 in model entry x of models.toml: w.pth"),
        ({"files": ["w.pth", "c.yaml"]}, "missing sha256 in model entry x of models.toml: c.yaml"),
        ({"repo": None}, "missing key in model entry x of models.toml: repo"),
    ],
)
def test_an_address_must_name_known_files(change: dict[str, Any], message: str) -> None:
    body = {key: value for key, value in (AT_ADDRESS | change).items() if value is not None}
    with pytest.raises(ModelError) as caught:
        make_entry("x", body, source="models.toml")
    assert caught.value.message.startswith(message)
