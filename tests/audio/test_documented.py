"""Every error that audio can raise has a row in docs/errors.md."""

import ast
from pathlib import Path

import pytest

import sepcli.audio

DOCUMENT = Path(__file__).parents[2] / "docs" / "errors.md"
SOURCES = sorted(Path(sepcli.audio.__file__).parent.glob("*.py"))
CLASSES = {"AudioError", "OutputError", "UsageError"}


def message_parts(path: Path) -> list[list[str]]:
    """Return the fixed parts of the first argument of every error that is made in a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in CLASSES:
            constants = [
                c.value.strip(" :()")
                for c in ast.walk(node.args[0])
                if isinstance(c, ast.Constant) and isinstance(c.value, str)
            ]
            found.append([c for c in constants if len(c) > 3])
    return found


@pytest.mark.skipif(not DOCUMENT.exists(), reason="needs the repository")
def test_every_error_has_a_row():
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    messages = [parts for path in SOURCES for parts in message_parts(path)]
    assert len(messages) > 30
    for parts in messages:
        fixed = [p for p in parts if p not in ("failed", "unknown reason", "cannot be opened")]
        fixed = fixed or parts
        assert any(all(part in row for part in fixed) for row in rows), parts
