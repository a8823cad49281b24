"""What a pickle may name and claim, whatever torch itself would let through."""

import pickle
import warnings
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from sepcli.errors import WeightsError
from sepcli.models.checkpoints import read_torch
from sepcli.models.pickles import FalseClaimError, ForbiddenNameError, check_pickles
from tests.hub import HUB_DATA

WEIGHTS = sorted(p for s in ("ckpt", "bin", "pt") for p in HUB_DATA.glob(f"*/*.{s}"))


class Claim:
    """Makes a buffer of a size when it is unpickled; `weights_only` lets it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (3_000_000_000,)


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_files_of_all_families_pass(path: Path) -> None:
    check_pickles(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("content", "name"),
    [
        (Claim(), "__builtin__.bytearray"),
        (Counter("a"), "collections.Counter"),
        ({1, 2}, "__builtin__.set"),
        (torch.Size([1]), "torch.Size"),
        (torch.float32, "torch.float32"),
        (torch.zeros(2, 2).to_sparse(), "torch._utils._rebuild_sparse_tensor"),
        (torch.device("cpu"), "torch.device"),
        (1j, "__builtin__.complex"),
    ],
)
def test_a_name_that_no_tensor_is_made_of_is_refused(
    tmp_path: Path, content: Any, name: str, zipped: bool
) -> None:
    path = tmp_path / "w.bin"
    torch.save({"a": content}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ForbiddenNameError, match=name.replace(".", r"\.")):
        check_pickles(path)
    with pytest.raises(WeightsError, match="hold more than tensors") as caught:
        read_torch(path)
    assert name in caught.value.message


def test_tensors_parameters_and_ordered_dicts_pass(tmp_path: Path) -> None:
    path = tmp_path / "w.bin"
    content = OrderedDict(a=torch.nn.Parameter(torch.ones(2)), b=torch.ones(2).bool())
    torch.save([content, {"c": (None, True, 1.5, 2**40, "x")}], path)
    check_pickles(path)
    assert torch.equal(read_torch(path)[0]["a"], torch.ones(2))


def test_a_storage_that_claims_more_than_its_file_holds_is_refused(tmp_path: Path) -> None:
    path, altered = tmp_path / "w.bin", tmp_path / "altered.bin"
    torch.save({"a": torch.zeros(3)}, path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(altered, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            if member.filename.endswith("data.pkl"):
                claim = b"X\x03\x00\x00\x00cpuq\x06K\x03"  # the place, then the length
                assert claim in content
                content = content.replace(claim, claim[:-1] + b"\x04")
            new.writestr(member.filename, content)
    check_pickles(path)
    with pytest.raises(FalseClaimError):
        check_pickles(altered)


@pytest.mark.parametrize("extra", ["w/data.pkl", "w/other.pkl", "v/data.pkl"])
def test_two_contents_in_one_archive_are_refused(tmp_path: Path, extra: str) -> None:
    path = tmp_path / "w.bin"
    torch.save({"a": torch.zeros(3)}, path)
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that stands twice
        archive.writestr(extra, pickle.dumps({}))
    with pytest.raises(FalseClaimError):
        check_pickles(path)


def test_a_torch_that_runs_code_in_pickles_reads_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.bin"
    torch.save({"a": torch.zeros(3)}, path)
    monkeypatch.setattr(torch, "__version__", "2.5.1+cu124")
    with pytest.raises(WeightsError) as caught:
        read_torch(path)
    assert caught.value.message == (
        "weights refused, torch 2.5.1+cu124 runs code in such files: w.bin"
    )
    assert "2.6" in caught.value.hint


@pytest.mark.skipif(not hasattr(torch.serialization, "safe_globals"), reason="torch below 2.5")
def test_the_first_torch_that_runs_no_code_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.bin"
    torch.save({"a": torch.zeros(3)}, path)
    monkeypatch.setattr(torch, "__version__", "2.6.0")
    assert read_torch(path)["a"].tolist() == [0, 0, 0]
