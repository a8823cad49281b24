"""Every error that a user can cause has a row in docs/errors.md, and a hint that fits."""

import ast
from collections.abc import Iterator
from pathlib import Path

import sepcli
from sepcli import errors
from sepcli.errors import SepcliError, did_you_mean

SOURCES = sorted(Path(sepcli.__file__).parent.rglob("*.py"))
TEXT = (Path(__file__).parents[1] / "docs" / "errors.md").read_text()
ROWS = [line for line in TEXT.splitlines() if line.startswith("| `")]
PUBLIC = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, SepcliError)
}
INTERNAL = {"AlreadyThereError", "DamagedFileError", "MissingFileError", "MissingRepoError"}
CLASSES = PUBLIC | INTERNAL


def fixed_parts(message: ast.expr) -> Iterator[str]:
    """Yield what stands fast in the expression of a message, without what is filled in."""
    for part in message.values if isinstance(message, ast.JoinedStr) else [message]:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value.strip(" :()")
        elif isinstance(part, ast.BinOp):
            yield from fixed_parts(part.left)


def messages() -> list[tuple[str, list[str]]]:
    """Return place and fixed parts of the message of every error that is made in sepcli."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in CLASSES and node.args:
                parts = [part for part in fixed_parts(node.args[0]) if len(part) > 3]
                found.append((f"{path.name}:{node.lineno}", parts))
    return found


def test_every_message_has_a_row() -> None:
    found = [(place, parts) for place, parts in messages() if parts]
    assert len(found) > 150
    undocumented = [
        (place, parts) for place, parts in found if not any(_all_in(row, parts) for row in ROWS)
    ]
    assert undocumented == []


def test_every_error_has_a_hint() -> None:
    usual = {name for name in PUBLIC if getattr(errors, name).usual_hint}
    without = [
        f"{path.name}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in PUBLIC - usual
        and len(node.args) + len(node.keywords) < 2
    ]
    assert without == []


def test_every_class_has_a_section_and_every_row_three_cells() -> None:
    assert [name for name in PUBLIC - {"SepcliError"} if f"## {name}: " not in TEXT] == []
    assert [row for row in ROWS if row.replace("\\|", "").count("|") != 4] == []


def test_suggests_what_is_close() -> None:
    assert did_you_mean("spmg", ["spgm", "tiger"]) == "did you mean spgm?"
    assert did_you_mean("spgm-", ["spgm"], "see the list") == "did you mean spgm? see the list"
    assert did_you_mean("S", ["spgm"]) == "did you mean spgm?"
    assert did_you_mean("SPGM", ["spgm"]) == "did you mean spgm?"
    assert did_you_mean("ab", ["ab1", "ab2", "ab3", "ab4"]).count(" or ") == 2
    assert did_you_mean("a", ["a12345", "a12346", "a12347", "a12348"]).count(" or ") == 2
    assert did_you_mean("zzz", ["spgm"], "see the list") == "see the list"
    assert did_you_mean("zzz", ["spgm", "tiger"]) == "known are: spgm, tiger"


def _all_in(row: str, parts: list[str]) -> bool:
    return all(part in row for part in parts)
