"""What is at hand, read off the client's cache without the client."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from sepcli.errors import WeightsError
from sepcli.models.cache import cached_files, damage, known_absent, local_path, sha256
from sepcli.models.entry import ModelEntry, alternatives

COMMIT = "a" * 40
ENTRY = ModelEntry(
    name="x",
    architecture="a",
    format="f",
    files=("c.json?", "w.safetensors|w.bin"),
    speakers=2,
    sample_rate=8000,
    repo="org/name",
)


@pytest.fixture
def snapshot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the folder of the cached commit that `main` stands for."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repo = tmp_path / "models--org--name"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    (repo / "snapshots" / COMMIT).mkdir(parents=True)
    return repo / "snapshots" / COMMIT


def test_nothing_is_cached_where_something_needed_is_not(snapshot: Path) -> None:
    assert cached_files(ENTRY) is None
    (snapshot / "c.json").write_text("{}")
    assert cached_files(ENTRY) is None
    (snapshot / "w.bin").write_text("w")
    assert cached_files(ENTRY) == {"c.json": snapshot / "c.json", "w.bin": snapshot / "w.bin"}
    (snapshot / "w.safetensors").write_text("w")
    assert list(cached_files(ENTRY) or {}) == ["c.json", "w.safetensors"]


def test_a_commit_needs_no_branch(snapshot: Path) -> None:
    (snapshot / "w.bin").write_text("w")
    assert cached_files(replace(ENTRY, revision=COMMIT)) is not None
    assert cached_files(replace(ENTRY, revision="b" * 40)) is None
    assert cached_files(replace(ENTRY, revision="other")) is None
    assert local_path(replace(ENTRY, revision="other"), "w.bin") is None


def test_a_dangling_link_is_not_at_hand(snapshot: Path) -> None:
    (snapshot / "w.bin").symlink_to(snapshot / "gone")
    assert cached_files(ENTRY) is None


def test_the_hub_said_that_a_file_is_absent(snapshot: Path) -> None:
    assert not known_absent(ENTRY, "c.json")
    mark = snapshot.parents[1] / ".no_exist" / COMMIT / "c.json"
    mark.parent.mkdir(parents=True)
    mark.touch()
    assert known_absent(ENTRY, "c.json")
    assert not known_absent(replace(ENTRY, revision="other"), "c.json")


@pytest.mark.parametrize(
    ("right_name", "message"),
    [
        (hashlib.sha256(b"w").hexdigest(), "sha256 is 50e721e49c01"),
        (hashlib.sha1(b"blob 1\0w").hexdigest(), "git's digest is "),  # what git hash-object says
    ],
)
def test_a_file_named_by_its_digest_is_checked(
    snapshot: Path, right_name: str, message: str
) -> None:
    blob = snapshot.parents[1] / "blobs" / ("0" * len(right_name))
    blob.parent.mkdir()
    blob.write_text("w")
    (snapshot / "w.bin").symlink_to(blob)
    assert damage(ENTRY, "w.bin", snapshot / "w.bin").startswith(message)
    right = blob.with_name(right_name)
    blob.rename(right)
    (snapshot / "w.bin").unlink()
    (snapshot / "w.bin").symlink_to(right)
    assert damage(ENTRY, "w.bin", snapshot / "w.bin") == ""
    # What the entry knows comes before what the cache says.
    assert damage(replace(ENTRY, sha256={"w.bin": "1" * 64}), "w.bin", right)


def test_a_file_without_a_known_digest_is_taken(snapshot: Path) -> None:
    (snapshot / "w.bin").write_text("w")
    assert damage(ENTRY, "w.bin", snapshot / "w.bin") == ""
    with pytest.raises(WeightsError, match="cannot read"):
        sha256(snapshot / "absent")


def test_alternatives_of_a_file() -> None:
    assert alternatives("a") == alternatives("a?") == ["a"]
    assert alternatives("a|b?") == ["a", "b"]
