"""Hostile and damaged files: refused in one line, nothing in them run, no memory claimed."""

import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import sepcli.models.pickles
from sepcli.errors import WeightsError
from sepcli.models.checkpoints import as_state, read_state, read_torch
from sepcli.models.foreign import DamagedFileError

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(1, dtype=torch.int64)}


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def _saved(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_reads_a_state_dict_of_either_serialisation(tmp_path: Path, zipped: bool) -> None:
    path = _saved(tmp_path / "w.bin", OrderedDict(STATE), _use_new_zipfile_serialization=zipped)
    state = read_state(path)
    assert list(state) == list(STATE)
    assert all(torch.equal(state[key], STATE[key]) for key in STATE)


def test_reads_safetensors(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    state = read_state(tmp_path / "w.safetensors")
    assert all(torch.equal(state[key], STATE[key]) for key in STATE)


def test_a_torch_version_is_the_one_class_let_through(tmp_path: Path) -> None:
    version = torch.torch_version.TorchVersion("2.1")
    content = read_torch(_saved(tmp_path / "w.bin", {"infos": {"version": version}}))
    assert content == {"infos": {"version": "2.1"}}


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    mark = tmp_path / "mark"
    evil = {"state_dict": STATE, "infos": Evil(mark)}
    path = _saved(tmp_path / "w.bin", evil, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        WeightsError, match=r"hold more than tensors: w\.bin \(.*system\)"
    ) as caught:
        read_torch(path)
    assert not isinstance(caught.value, DamagedFileError)
    assert caught.value.hint == "use a file that holds tensors only, best of all model.safetensors"
    assert not mark.exists()


def test_a_bare_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "w.bin"
    path.write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(WeightsError):
        read_torch(path)
    assert not mark.exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="more than tensors"):
        read_torch(_saved(tmp_path / "w.bin", torch.nn.Linear(1, 1)))


@pytest.mark.parametrize("keep", [0, 1, 100, -1, -30])
@pytest.mark.parametrize("name", ["w.bin", "w.safetensors"])
def test_a_truncated_file_is_known_as_damaged(tmp_path: Path, name: str, keep: int) -> None:
    path = tmp_path / name
    save_file(STATE, path) if path.suffix == ".safetensors" else _saved(path, STATE)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedFileError) as caught:
        read_state(path)
    assert caught.value.message.startswith(f"file is damaged or of another kind: {path}: ")
    assert len(caught.value.message) > len(f"file is damaged or of another kind: {path}: ")
    assert "\n" not in caught.value.message
    assert "--verify" in caught.value.hint


def test_an_absent_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        read_torch(tmp_path / "w.bin")
    with pytest.raises(WeightsError):
        read_state(tmp_path / "w.safetensors")


def test_a_compressed_archive_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data/0", bytes(50_000_000))
    assert path.stat().st_size < 100_000
    with pytest.raises(WeightsError, match=r"not what PyTorch writes: bomb\.bin"):
        read_torch(path)


def test_an_archive_that_claims_more_than_it_holds_is_not_read(tmp_path: Path) -> None:
    path = _saved(tmp_path / "w.bin", STATE)
    content = bytearray(path.read_bytes())
    entry = content.rfind(b"PK\x01\x02")  # of the last member, in the list at the end
    struct.pack_into("<I", content, entry + 24, 2**31)
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"not what PyTorch writes: w\.bin") as caught:
        read_torch(path)
    assert caught.value.hint == "use the file as its authors published it"


def test_a_large_pickle_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _saved(tmp_path / "w.bin", STATE)
    read_torch(path)
    monkeypatch.setattr(sepcli.models.pickles, "LARGEST_PICKLE_BYTES", 10)
    with pytest.raises(WeightsError, match="not what PyTorch writes"):
        read_torch(path)


def test_an_archive_whose_list_is_broken_is_known_as_damaged(tmp_path: Path) -> None:
    path = _saved(tmp_path / "w.bin", STATE)
    path.write_bytes(path.read_bytes().replace(b"PK\x01\x02", b"PK\x01\x03"))
    with pytest.raises(DamagedFileError, match=r"w\.bin: Bad magic number"):
        read_torch(path)


def test_an_archive_in_an_archive_stays_closed(tmp_path: Path) -> None:
    inner = _saved(tmp_path / "inner.bin", STATE)
    with zipfile.ZipFile(tmp_path / "outer.bin", "w") as archive:
        archive.write(inner, "outer/inner.bin")
    with pytest.raises(WeightsError):
        read_torch(tmp_path / "outer.bin")


def test_a_tensor_may_not_be_larger_than_its_storage(tmp_path: Path) -> None:
    claimed = torch.zeros(1).expand(10**12)
    path = _saved(tmp_path / "w.bin", {"a": claimed})
    assert path.stat().st_size < 10_000
    with pytest.raises(WeightsError, match=r"tensor in w\.bin claims more than it holds: a"):
        read_state(path)


def test_a_long_name_is_cut_in_the_message(tmp_path: Path) -> None:
    state = {"k" * 200: torch.zeros(1).expand(10)}
    with pytest.raises(WeightsError) as caught:
        as_state(state, tmp_path / "w.bin")
    assert caught.value.message == f"tensor in w.bin claims more than it holds: {'k' * 80}"


@pytest.mark.parametrize(
    "content", [[], {}, 3, {"a": 3}, {1: torch.zeros(1)}, {"a": torch.zeros(2, 2).to_sparse()}]
)
def test_something_else_than_tensors_by_name_is_refused(content: Any) -> None:
    with pytest.raises(WeightsError):
        as_state(content, Path("w.bin"))


def _safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.mark.parametrize(
    "content",
    [
        _safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}),
        _safetensors({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}}, bytes(8)),
        _safetensors({"a": {"dtype": "F32", "shape": [10**15], "data_offsets": [0, 8]}}, bytes(8)),
        _safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, bytes(8)),
        _safetensors({"a": {"dtype": "X", "shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
        _safetensors({}, length=2**62),
        _safetensors({}, length=10**9),
        _safetensors(b"[" * 1000),
        _safetensors(b"{}", bytes(100)),
    ],
)
def test_lying_headers_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError):
        read_state(path)


def test_what_is_no_state_dict_is_said(tmp_path: Path) -> None:
    for content, said in (
        ([], "no weights by name in w.bin: list"),
        ({}, "no weights by name in w.bin: dict"),
        ({"a": 3}, "no tensor in w.bin under: 'a'"),
        ({1: torch.zeros(1)}, "no tensor in w.bin under: '1'"),
    ):
        with pytest.raises(WeightsError) as caught:
            as_state(content, tmp_path / "w.bin")
        assert caught.value.message == said
