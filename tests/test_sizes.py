"""What keeps the code readable: few names at the top, files and functions that are soon read."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sepcli"
MODULES = {str(path.relative_to(PACKAGE)): path.read_text() for path in PACKAGE.rglob("*.py")}
MOST_NAMES = 12
MOST_LINES, MOST_LINES_OF_A_NETWORK = 300, 400
MOST_LINES_OF_A_FUNCTION, MOST_LINES_OF_A_COMMAND = 60, 80  # without the list of its options


def long_functions(name: str, text: str) -> list[str]:
    """Return the functions of a module that are too long."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            is_command = name == f"cli/{node.name}.py"
            begin = node.body[0].lineno if is_command else node.lineno
            limit = MOST_LINES_OF_A_COMMAND if is_command else MOST_LINES_OF_A_FUNCTION
            if (node.end_lineno or begin) - begin >= limit:
                found.append(f"{name}: {node.name}")
    return found


def test_few_names_are_at_the_top() -> None:
    names = [path.name for path in PACKAGE.iterdir() if not path.name.startswith("_")]
    assert len(set(names) - {"py.typed"}) <= MOST_NAMES


def test_files_are_soon_read() -> None:
    lines = {name: len(text.splitlines()) for name, text in MODULES.items()}
    limits = {n: MOST_LINES_OF_A_NETWORK if "networks/" in n else MOST_LINES for n in MODULES}
    assert [name for name in MODULES if lines[name] > limits[name]] == []


def test_functions_are_soon_read() -> None:
    assert [found for name, text in MODULES.items() for found in long_functions(name, text)] == []


@pytest.mark.parametrize(
    "name,found", [("cli/f.py", []), ("cli/g.py", ["cli/g.py: f"]), ("f.py", ["f.py: f"])]
)
def test_only_options_of_a_command_may_be_many(name: str, found: list[str]) -> None:
    options = ", ".join(f"\n    option{number}: int" for number in range(60))
    assert long_functions(name, f"def f({options}) -> None:\n    pass\n") == found
    assert long_functions(name, "def f():\n" + "    pass\n" * 81) == [f"{name}: f"]
