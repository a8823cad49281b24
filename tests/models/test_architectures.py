"""Finding an architecture by name and checking a configuration against it."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from sepcli.errors import ModelError
from sepcli.models import architectures as architectures_module
from sepcli.models.architectures import architectures, load_architecture, make_config


@dataclass(frozen=True, kw_only=True)
class Config:
    width: int
    rate: float = 1.0
    deep: bool = False
    kind: Literal["a", "b"] = "a"
    title: str | None = None
    bands: tuple[int, ...] = ()
    pair: tuple[int, float] = (1, 2.0)

    def __post_init__(self) -> None:
        if self.width == 13:
            raise ValueError("width must not be 13")


@pytest.fixture(autouse=True)
def architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every architecture be one with the `Config` above."""
    monkeypatch.setattr(
        architectures_module, "load_architecture", lambda *_, **__: SimpleNamespace(Config=Config)
    )


def _make(**values: Any) -> Any:
    return make_config("any", {"width": 1} | values, where="model x")


def test_values_become_the_fields_types() -> None:
    config = _make(rate=2, bands=[1, 2], pair=[3, 4], title="t", kind="b", deep=True)
    assert config == Config(
        width=1, rate=2.0, bands=(1, 2), pair=(3, 4.0), title="t", kind="b", deep=True
    )
    assert isinstance(config.rate, float)
    assert _make(title=None).title is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"widht": 1}, "unknown key in configuration of model x: widht"),
        ({"width": "1"}, "width must be a whole number, is '1'"),
        ({"width": 1.5}, "width must be a whole number"),
        ({"width": True}, "width must be a whole number"),
        ({"width": 10**9}, "width must be at most 1048576, is 1000000000"),
        ({"width": -(10**9)}, "width must be at most"),
        ({"width": 10**5000}, "width must be at most .* beyond"),
        ({"width": 13}, "width must not be 13"),
        ({"rate": "fast"}, "rate must be a number"),
        ({"rate": float("nan")}, "rate must be finite"),
        ({"rate": 1e300}, "rate must be finite"),
        ({"deep": 1}, "deep must be true or false"),
        ({"kind": "c"}, "kind must be one of a, b, is 'c'"),
        ({"kind": ["a"]}, "kind must be one of a, b, is a list of 1"),
        ({"title": 3}, "title must be absent, is 3"),
        ({"bands": 3}, "bands must be a list, is 3"),
        ({"bands": ["x"]}, "bands must be a whole number"),
        ({"bands": [1] * 5000}, "bands must have 4096 items, has 5000"),
        ({"pair": [1]}, "pair must have 2 items, has 1"),
        ({"title": "x" * 10**6, "kind": "y" * 10**6}, "kind must be one of"),
    ],
)
def test_a_wrong_value_is_named_in_one_short_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        _make(**values)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 200


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ModelError, match="missing key in configuration of model x: width"):
        make_config("any", {}, where="model x")


def test_finds_architectures_by_name() -> None:
    assert {"spgm", "tdanet", "sepformer"} <= set(architectures())
    assert load_architecture("spgm", where="x").Network.__module__ == "sepcli.networks.spgm"
    with pytest.raises(ModelError, match="unknown architecture of x: spmg") as caught:
        load_architecture("spmg", where="x")
    assert "did you mean spgm" in caught.value.hint
