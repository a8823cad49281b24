"""Fixtures that more than one folder of tests uses."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants, file_download
from hypothesis import Phase, settings

from tests.hub import Hub, running_hub

# for tools/mutants.py: the same examples every time, and none made smaller when one fails
settings.register_profile(
    "mutants", phases=(Phase.explicit, Phase.generate), derandomize=True, database=None
)


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """Give every test the random numbers of seed 0, in whatever order the tests run."""
    if torch := sys.modules.get("torch"):  # what tests a start without torch does not load it
        torch.manual_seed(0)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """Yield a loopback hub that the client of this process, and of its children, talks to."""
    home = tmp_path / "hf"
    with running_hub() as hub:
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        for name, value in {
            "ENDPOINT": hub.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
        }.items():
            monkeypatch.setattr(
                constants, name, value, raising=False
            )  # some are newer than our floor
            if hasattr(file_download, name):  # clients below 0.36 keep what they read at first
                monkeypatch.setattr(file_download, name, value)
        for name in ("HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(home))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        yield hub
