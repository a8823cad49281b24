"""Fixtures that more than one folder of tests uses."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.hub import Hub, running_hub, set_client

# for tools/mutants.py: the same examples every time, and none made smaller when one fails
settings.register_profile(
    "mutants", phases=(Phase.explicit, Phase.generate), derandomize=True, database=None
)


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """Give every test the random numbers of seed 0, in whatever order the tests run."""
    if torch := sys.modules.get("torch"):  # what tests a start without torch does not load it
        torch.manual_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Skip a test that has to read files of PyTorch where this torch is too old to read them."""
    try:
        return (yield)
    except BaseException as failure:
        if "runs code in such files" in str(failure):
            pytest.skip(f"torch {sys.modules['torch'].__version__} is trusted with no pickle")
        raise


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """Yield a loopback hub that the client of this process, and of its children, talks to."""
    home = tmp_path / "hf"
    with running_hub() as hub:
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        set_client(
            monkeypatch,
            ENDPOINT=hub.url,
            HUGGINGFACE_CO_URL_TEMPLATE=template,
            HF_HOME=str(home),
            HF_HUB_CACHE=str(home / "hub"),
            HF_TOKEN_PATH=str(home / "token"),
            HF_HUB_OFFLINE=False,
            HF_HUB_DISABLE_XET=True,
        )
        for name in ("HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(home))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        yield hub
