"""Whatever files of others cause, as one line: damage, odd values, what no one thought of."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sepcli.errors import SepcliError, WeightsError

_SHOWN_CHARACTERS = 60


class DamagedFileError(WeightsError):
    """A file is cut short or altered: downloading it again may help."""


def damaged(path: Path, cause: BaseException) -> DamagedFileError:
    """Return the error for a file that its reader made nothing of."""
    return DamagedFileError(
        f"file is damaged or of another kind: {path}: {first_line(cause)}",
        "run `sepcli download --verify` to fetch damaged files again",
    )


@contextmanager
def one_line(where: str) -> Iterator[None]:
    """Turn whatever the files of a model cause in the block into one line.

    Args:
        where: Whose files they are, for messages.

    Raises:
        WeightsError: Something was raised that is no error of ours; those pass.
    """
    try:
        yield
    except SepcliError:
        raise
    except MemoryError as cause:
        raise WeightsError(f"files of {where} claim more memory than there is") from cause
    except Exception as cause:  # what a foreign file may cause has no end
        raise WeightsError(
            f"files of {where} are not as their format has it: {first_line(cause)}",
            "check that they are the ones their authors published, "
            "and that the entry names the right format: sepcli info",
        ) from cause


def shown(value: Any) -> str:
    """Return a value for a message: one short line, however large or nested it is."""
    if isinstance(value, list | tuple | Mapping):
        return f"a {type(value).__name__} of {len(value)}"
    if value is not None and not isinstance(value, str | int | float):
        return f"a {type(value).__name__}"
    if isinstance(value, int) and abs(value) >= 10**18:
        return "beyond 10^18"
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def first_line(cause: BaseException) -> str:
    """Return what an exception says, short and in letters that any terminal shows."""
    lines = str(cause).strip().splitlines()
    said = ascii(lines[0][:120])[1:-1] if lines else ""
    if isinstance(cause, ArithmeticError | LookupError | AttributeError | TypeError):
        return f"{type(cause).__name__}: {said}"  # what it says alone is not understood
    return said or type(cause).__name__
