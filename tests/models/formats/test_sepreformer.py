from pathlib import Path

import pytest
import torch

from sepcli.errors import WeightsError
from sepcli.models.formats import sepreformer

CONFIG = next((Path(__file__).parents[2] / "data/web/dmlguq456--SepReformer").rglob("*.yaml"))


def test_says_the_sizes_under_our_names() -> None:
    found = sepreformer.describe({"models/x/configs.yaml": CONFIG})
    assert found is not None
    assert (found.architecture, found.speakers, found.sample_rate) == ("sepreformer", 2, 8000)
    assert found.config == {
        "num_speakers": 2,
        "filters": 8,
        "kernel_size": 16,
        "stride": 4,
        "channels": 8,
        "stages": 2,
        "heads": 2,
        "farthest": 40,
        "local_kernel": 5,
        "down_kernel": 5,
    }


def test_leaves_to_the_entry_what_is_not_said() -> None:
    assert sepreformer.describe({}) == sepreformer.Description()


def test_other_configurations_are_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "configs.yaml").write_text("config: {model: {num_stages: 2}}")
    assert sepreformer.describe({"configs.yaml": tmp_path / "configs.yaml"}) is None


def test_drops_what_is_not_the_networks(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    torch.save({"model_state_dict": {"a": torch.ones(1)}, "optimizer_state_dict": {}}, file)
    assert list(sepreformer.read({"w.pth": file}, "sepreformer")) == ["a"]
    torch.save({"state_dict": {}}, file)
    with pytest.raises(WeightsError, match=r"no model_state_dict in w\.pth"):
        sepreformer.read({"w.pth": file}, "sepreformer")
    with pytest.raises(WeightsError, match="not one file of weights but 0"):
        sepreformer.read({}, "sepreformer")
