"""What a section of models.toml may say."""

from pathlib import Path
from typing import Any

import pytest

from sepcli.entry import check_repo, did_you_mean, make_entry
from sepcli.errors import ModelError

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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arcitecture": "spgm"}, "unknown key .* arcitecture"),
        ({"speakers": "two"}, "speakers must be a whole number, is 'two'"),
        ({"speakers": True}, "speakers must be a whole number"),
        ({"speakers": 0}, "speakers must be 1 to 64, is 0"),
        ({"sample_rate": 10**9}, "sample_rate must be 1000 to 384000"),
        ({"files": "a.bin"}, "files must be a list"),
        ({"files": []}, "files is empty"),
        ({"files": ["../a.bin"]}, "file name"),
        ({"files": ["/etc/passwd"]}, "file name"),
        ({"files": ["a\nb"]}, "file name"),
        ({"files": [3]}, "file name"),
        ({"architecture": "../x"}, "architecture is '../x'"),
        ({"level": "loud"}, "level is 'loud'"),
        ({"overlap_seconds": 9.0}, "overlap_seconds is 9.0, chunk_seconds is 8.0"),
        ({"repo": "only-a-name"}, "not a repository of the hub: only-a-name"),
        ({"repo": ""}, "not a repository"),
        ({"scores": {"x": "high"}}, "scores.x"),
        ({"sha256": {"x": 1}}, "sha256.x"),
    ],
)
def test_refuses_what_makes_no_sense_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        make_entry("x", BODY | change, source="models.toml")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("key", ["architecture", "format", "files", "speakers", "sample_rate"])
def test_names_the_missing_key(key: str) -> None:
    body = {name: value for name, value in BODY.items() if name != key}
    with pytest.raises(ModelError, match=f"missing key in model entry x of t: {key}"):
        make_entry("x", body, source="t")


def test_needs_a_repository_or_a_folder() -> None:
    body = {name: value for name, value in BODY.items() if name != "repo"}
    with pytest.raises(ModelError, match="repo"):
        make_entry("x", body, source="t")
    assert make_entry("x", body, source="t", folder=Path("f")).folder == Path("f")


@pytest.mark.parametrize("repo", ["a", "a/b/c", "../b", "a/..", "-a/b c", "a/b\n", ""])
def test_a_repository_is_an_organisation_and_a_name(repo: str) -> None:
    with pytest.raises(ModelError):
        check_repo(repo)
    assert check_repo("a-1/b_2.c") == "a-1/b_2.c"


def test_suggests_what_is_close() -> None:
    assert did_you_mean("spmg", ["spgm", "tiger"]) == "did you mean spgm?"
    assert did_you_mean("spgm-", ["spgm"], "see the list") == "did you mean spgm? see the list"
    assert did_you_mean("zzz", ["spgm"], "see the list") == "see the list"
    assert did_you_mean("zzz", ["spgm", "tiger"]) == "known are: spgm, tiger"
