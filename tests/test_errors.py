"""Every error that a user can cause has a row in docs/errors.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

import sepcli
from sepcli import errors

SOURCES = sorted(Path(sepcli.__file__).parent.rglob("*.py"))
TEXT = (Path(__file__).parents[1] / "docs" / "errors.md").read_text()
ROWS = [line for line in TEXT.splitlines() if line.startswith("| `")]
PUBLIC = {name for name, value in vars(errors).items() if isinstance(value, type)}
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


def test_every_class_has_a_section_and_every_row_three_cells() -> None:
    assert [name for name in PUBLIC - {"SepcliError"} if f"## {name}: " not in TEXT] == []
    assert [row for row in ROWS if row.replace("\\|", "").count("|") != 4] == []


def _all_in(row: str, parts: list[str]) -> bool:
    return all(part in row for part in parts)
