"""The number format that a machine is fast in, and what a recipe may ask for instead."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sepcli.training import precision


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """The answer is kept for a process; these tests change the processor."""
    precision.has_bf16_instructions.cache_clear()
    yield
    precision.has_bf16_instructions.cache_clear()


@pytest.mark.parametrize(
    ("flags", "wanted", "expected"),
    [
        ("fpu avx512f avx512_bf16", "auto", "bf16-mixed"),
        ("fpu amx_bf16", "auto", "bf16-mixed"),
        ("fpu avx2 avx512f", "auto", "32-true"),
        (None, "auto", "32-true"),
        ("fpu avx2", "bf16-mixed", "bf16-mixed"),
        ("fpu avx512_bf16", "32-true", "32-true"),
    ],
)
def test_a_processor_decides_where_the_recipe_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, wanted: str, expected: str
) -> None:
    file = tmp_path / "cpuinfo"
    if flags is not None:
        file.write_text(f"processor : 0\nflags\t\t: {flags}\nbugs : amx_bf16\n")
    monkeypatch.setattr(precision, "CPU_INFO", file)
    assert precision.chosen_precision(wanted, torch.device("cpu")) == expected  # type: ignore[arg-type]


def test_accelerators() -> None:
    assert precision.chosen_precision("auto", torch.device("cuda")) == "bf16-mixed"
    assert precision.chosen_precision("auto", torch.device("mps")) == "32-true"
