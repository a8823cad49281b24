"""Write docs/reference.md: commands with their options, and the Python API, from the code itself.

python tools/reference.py            # write it
python tools/reference.py --check    # exit with 1 where it is not what the code says
"""

import dataclasses
import enum
import inspect
import math
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sepcli
from sepcli import errors, ray
from sepcli.cli.app import app
from sepcli.errors import SepcliError
from sepcli.evaluation import metrics

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"
HEAD = """\
# Reference

Every command with its options, and what a program may import. `sepcli COMMAND --help` says the
same of one command. `python tools/reference.py` writes this page from the code.
"""
WIDTH = 140  # of a line of the page
ERRORS = [
    name
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, SepcliError)
]
# what a program may rely on: the module and its names
API = {
    sepcli: ("Separator", "SeparationOptions", "Separation", "list_models"),
    ray: ("Separate",),
    metrics: ("si_sdr", "si_sdr_improvement", "pairwise_si_sdr", "best_order", "reorder"),
    errors: ERRORS,
}


def commands() -> Iterator[str]:
    """Yield the paragraphs on the commands, in the order of `sepcli --help`."""
    for registered in app.registered_commands:
        function: Any = registered.callback
        hints = typing.get_type_hints(function, include_extras=True)
        defaults = {
            name: parameter.default
            for name, parameter in inspect.signature(function).parameters.items()
            if hasattr(hints[name], "__metadata__")
        }
        arguments = [name for name in defaults if not is_option(hints[name])]
        forms = [argument_form(name, hints[name], defaults[name]) for name in arguments]
        yield f"### sepcli {function.__name__}"
        yield f"`{' '.join(['sepcli', function.__name__, *forms])} [OPTIONS]`"
        yield from prose(function.__doc__)
        rows = [
            f"| `{escaped(form)}` | {escaped(hints[name].__metadata__[0].help)} | |"
            for name, form in zip(arguments, forms, strict=True)
        ]
        rows += [
            option_row(name, hints[name], default)
            for name, default in defaults.items()
            if is_option(hints[name]) and not hints[name].__metadata__[0].hidden
        ]
        yield "\n".join(["| option | | default |", "|---|---|---|", *rows])


def is_option(hint: Any) -> bool:
    """Return whether a parameter of a command is an option, not an argument."""
    return type(hint.__metadata__[0]).__name__ == "OptionInfo"


def argument_form(name: str, hint: Any, default: Any) -> str:
    """Return how an argument is written, in brackets where it may be left out."""
    form = str(hint.__metadata__[0].metavar or name.upper())
    is_needed = default is inspect.Parameter.empty or form.startswith("[")
    return form if is_needed else f"[{form}]"


def option_row(name: str, hint: Any, default: Any) -> str:
    """Return the row of an option."""
    info = hint.__metadata__[0]
    names = [each for each in (info.default, *(info.param_decls or ())) if each is not ...]
    names = names or [f"--{name.replace('_', '-')}"]
    written = ", ".join(sorted(names, key=len, reverse=True))  # the long one first
    if hint.__origin__ is not bool:
        written += f" {info.metavar or values_of(hint.__origin__)}"
    shown = "" if default in (None, False, "", inspect.Parameter.empty) else f"`{default}`"
    return (
        f"| `{escaped(written)}` | {escaped(info.help)} | {'' if default == math.inf else shown} |"
    )


def values_of(kind: Any) -> str:
    """Return what an option of a type takes: its choices, or what it is."""
    kinds = [kind, *typing.get_args(kind)]
    kinds += [inner for each in kinds for inner in typing.get_args(each)]
    for each in kinds:
        if typing.get_origin(each) is typing.Literal:
            return "|".join(typing.get_args(each))
        if inspect.isclass(each) and issubclass(each, enum.Enum):
            return "|".join(str(choice.value) for choice in each)
    names = {Path: "PATH", str: "TEXT", int: "N", float: "NUMBER"}
    return next(names[each] for each in kinds if each in names)


def api() -> Iterator[str]:
    """Yield the paragraphs on the Python API."""
    for module, names in API.items():
        yield f"### {module.__name__}"
        if module is errors:
            yield errors_table(names)
            continue
        for name in names:
            yield from documented(name, getattr(module, name))


def errors_table(names: list[str]) -> str:
    """Return the table of what is raised."""
    rows = [
        f"| `{name}` | {(getattr(errors, name).__doc__ or '').splitlines()[0]} "
        f"| {getattr(errors, name).exit_code} |"
        for name in names
    ]
    return "\n".join(["| error | | exit code |", "|---|---|---|", *rows])


def documented(name: str, value: Any) -> Iterator[str]:
    """Yield the paragraphs on a class or function, then on what is public in a class."""
    is_table = dataclasses.is_dataclass(value)
    yield f"#### `{name}`" if is_table else f"#### `{name}{signature(value)}`"
    yield from prose(value.__doc__)
    if not inspect.isclass(value) or is_table:
        return
    for inner, member in vars(value).items():
        function = getattr(member, "__func__", member)
        if inspect.isfunction(function) and (inner == "__call__" or not inner.startswith("_")):
            called = name.lower() if inner == "__call__" else f"{name}.{inner}"
            yield f"#### `{called}{signature(function)}`"
            yield from prose(function.__doc__)


def signature(function: Callable[..., Any]) -> str:
    """Return the names of what a function takes; types and meaning stand in its docstring."""
    names = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in names:
            names.append("*")
        has_default = parameter.default is not parameter.empty
        simple = isinstance(parameter.default, str | bool | int | None)
        default = repr(parameter.default) if simple else "..."
        names.append(f"{name}={default}" if has_default else name)
    return f"({', '.join(names)})"


def prose(docstring: str | None) -> Iterator[str]:
    """Yield the paragraphs of a docstring in Google style, its sections as lists."""
    for paragraph in inspect.cleandoc(docstring or "").split("\n\n"):
        heading, _, rest = paragraph.partition("\n")
        if re.fullmatch(r"Args:|Attributes:|Raises:", heading):
            yield f"{heading[:-1]}:"
            items = re.split(r"\n(?=\S)", textwrap.dedent(rest))
            yield "\n".join(
                wrapped(re.sub(r"^(\w+): ", r"- `\1`: ", item), indent="  ") for item in items
            )
        elif paragraph.startswith(("- ", "    ")):
            items = re.split(r"\n(?=- )", paragraph)
            yield "\n".join(wrapped(item, indent="  ") for item in items)
        else:
            yield wrapped(paragraph)


def wrapped(text: str, indent: str = "") -> str:
    """Return a paragraph in lines that fit the page."""
    return textwrap.fill(
        " ".join(text.split()),
        WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def escaped(text: str | None) -> str:
    """Return text as it stands in the cell of a table."""
    return (text or "").replace("|", "\\|")


def page() -> str:
    """Return the whole page."""
    return "\n\n".join([HEAD.strip(), "## Commands", *commands(), "## Python", *api()]) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(page() != PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(page(), encoding="utf-8")
