"""What the documents name is there."""

import json
import re
from pathlib import Path

import pytest
import typer.main

from sepcli.cli.app import app
from sepcli.models.registry import find_entry

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FOLDERS = "sepcli|tests|benchmarks|tools|docs|examples"
NAMED = re.compile(rf"(?<![\w/.:-])((?:{FOLDERS})/[\w./-]*\w/?)(?:::(\w+))?")
LINKED = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
EXAMPLES = sorted([*ROOT.glob("examples/*.py"), *ROOT.glob("sepcli/training/recipes/*.toml")])
COMMAND = re.compile(r"\bsepcli ([a-z]+)((?:\\\n|[^`|;#\n])*)")
QUOTED = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"")
OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
PLACEHOLDERS = {"sepcli/networks/NAME.py"}


def missing(document: Path) -> list[str]:
    """Return what a document names or links to that is not in the tree."""
    text = document.read_text()
    absent = [name for name in LINKED.findall(text) if not (document.parent / name).exists()]
    for name, test in NAMED.findall(text):
        path = ROOT / name
        if name not in PLACEHOLDERS and not path.exists():
            absent.append(name)
        elif test and f"def {test}(" not in path.read_text():
            absent.append(f"{name}::{test}")
    return absent


def unknown_options(text: str) -> list[str]:
    """Return the options that a text gives to a command of sepcli which does not have them."""
    known = {
        name: {option for parameter in command.params for option in parameter.opts} | {"--help"}
        for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
    }
    return [
        f"{name} {option}"
        for name, rest in COMMAND.findall(text)
        for option in OPTION.findall(QUOTED.sub("", rest))
        if name in known and option not in known[name]
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_and_tests_named_in_the_documents_exist(document: Path) -> None:
    assert missing(document) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_lines_fit_a_screen(document: Path) -> None:
    lines = [line for line in document.read_text().splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > 140] == []


@pytest.mark.parametrize("document", [*DOCUMENTS, *EXAMPLES], ids=lambda path: path.name)
def test_options_of_commands_in_the_documents_exist(document: Path) -> None:
    assert unknown_options(document.read_text()) == []


def test_an_option_that_is_not_there_is_noticed() -> None:
    text = "sepcli separate x.wav -r --voice a=b --no-such 2  # --comment\nsepcli info --recursive"
    assert unknown_options(text) == ["separate --no-such", "info --recursive"]


def test_the_map_names_modules_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    modules = re.findall(r"`([\w/]+(?:\.py|/))`", text)
    assert len(modules) > 20
    assert [name for name in modules if not any((b / name).exists() for b in _bases())] == []


def test_the_map_names_every_module() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    modules = [path for path in (ROOT / "sepcli").iterdir() if not path.name.startswith("_")]
    names = [path.name + "/" * path.is_dir() for path in modules if path.name != "py.typed"]
    assert [name for name in names if f"`{name}`" not in text] == []


def test_what_is_not_there_is_noticed(tmp_path: Path) -> None:
    document = tmp_path / "x.md"
    document.write_text(
        "`tests/none.py`, [a](none.md), `tests/test_documents.py::test_none`, `docs/errors.md`, "
        "`tests/test_documents.py::test_what_is_not_there_is_noticed`, `examples/none/`."
    )
    assert missing(document) == [
        "none.md",
        "tests/none.py",
        "tests/test_documents.py::test_none",
        "examples/none/",
    ]


def _bases() -> tuple[Path, ...]:
    return ROOT, ROOT / "sepcli"


def test_models_say_the_scores_that_were_measured() -> None:
    measured = json.loads((ROOT / "docs/shipped.json").read_text())
    for name, known in measured.items():
        scores = find_entry(name).scores
        for kind in ("clean", "noisy", "room", "conversation"):
            if kind in known:
                assert known[kind]["mean"] in scores.values(), (name, kind)
