"""What the tools of the repository name is there."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def mutants() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "tools" / "mutants.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_mutants_copies_and_tries_is_there(mutants: ModuleType) -> None:
    named = [*mutants.COPIED, *mutants.FILES]
    named += [f"sepcli/{module}.py" for module in mutants.MODULES]
    named += [f"tests/{test}" for tests in mutants.MODULES.values() for test in tests]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_modules_are_chosen_by_any_part_of_their_path(mutants: ModuleType) -> None:
    assert mutants.chosen([]) == list(mutants.MODULES)
    assert mutants.chosen(["chunking"]) == ["separation/chunking"]
    assert mutants.chosen(["speakers", "audio/re"]) == [
        *(name for name in mutants.MODULES if name.startswith("separation/speakers/")),
        "audio/resample",
        "audio/reader",
    ]
    with pytest.raises(SystemExit, match="no module of the table begins so: unking"):
        mutants.chosen(["unking"])
