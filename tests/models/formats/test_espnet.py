from pathlib import Path
from typing import Any

import pytest
import torch

from sepcli.errors import WeightsError
from sepcli.models.formats import espnet

WEB = Path(__file__).parents[2] / "data" / "web" / "merlresearch--tf-locoformer__whamr"
TEXT = next(WEB.rglob("config.yaml")).read_text()


def described(tmp_path: Path, old: str = "", new: str = "") -> Any:
    assert old in TEXT
    file = tmp_path / "config.yaml"
    file.write_text(TEXT.replace(old, new) if old else TEXT)
    return espnet.describe({"exp/x/config.yaml": file})


def test_says_the_sizes_under_our_names(tmp_path: Path) -> None:
    found = described(tmp_path)
    assert (found.architecture, found.speakers, found.sample_rate) == ("tflocoformer", 2, 8000)
    assert found.config == {
        "num_speakers": 2,
        "blocks": 1,
        "channels": 12,
        "hidden": [8, 8],
        "kernel_size": 8,
        "heads": 4,
        "attention_channels": 16,
        "groups": 4,
        "norm": "rms-group",
        "first": "frequency",
        "window": 256,
        "stride": 64,
    }


def test_leaves_to_the_entry_what_is_not_said(tmp_path: Path) -> None:
    assert "attention_channels" not in described(tmp_path, "  attention_dim: 16\n").config
    assert espnet.describe({}) == espnet.Description()


def test_other_separators_are_none_of_ours(tmp_path: Path) -> None:
    assert described(tmp_path, "separator: tflocoformer", "separator: tfgridnet") is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("conv1d_shift: 1", "conv1d_shift: 2", "conv1d_shift = 2, not 1"),
        ("  - swiglu_conv1d\n", "  - conv1d\n", "ffn_type"),
        ("eps: 1.0e-05", "eps: 1.0e-06", "eps = 1e-06"),
    ],
)
def test_a_variant_that_is_not_built_is_named(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        described(tmp_path, old, new)


def test_reads_one_file_of_weights(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    torch.save({"separator.w": torch.ones(1)}, file)
    assert list(espnet.read({"a.pth": file}, "tflocoformer")) == ["separator.w"]
    with pytest.raises(WeightsError, match="not one file of weights but 2"):
        espnet.read({"a.pth": file, "b.pth": file}, "tflocoformer")
