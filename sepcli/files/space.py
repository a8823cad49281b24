"""Room on the disk: asked for before the work, and given back by runs that died."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sepcli.errors import OutputError
from sepcli.files.temporary import is_stale, printable


def require_free_space(folder: Path, num_bytes: int, what: str) -> None:
    """Return if `folder` can take `num_bytes` more; it need not exist yet.

    Args:
        folder: Where the bytes will go; the nearest existing parent is asked.
        num_bytes: How many are needed.
        what: What they are for, as it reads after "not enough space for".

    Raises:
        OutputError: There is less room than that.
    """
    free = _free_space(folder)
    if free is None:
        return  # a file system that does not tell; writing will show
    if free < num_bytes:
        raise OutputError(
            f"not enough space for {what} in {printable(folder)}: "
            f"{format_bytes(num_bytes)} needed, {format_bytes(free)} free",
            "free some space, or choose another disk; that of temporary files with TMPDIR and "
            "SEPCLI_SPOOL",
        )


def _free_space(folder: Path) -> int | None:
    """Return the bytes that `folder`, or its nearest existing parent, has room for."""
    for place in up_from(folder):
        try:
            return shutil.disk_usage(place).free
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return None
    return None


def up_from(folder: Path) -> Iterator[Path]:
    """Yield a folder, then those that it lies in: the first that is there answers for it."""
    yield folder
    yield from folder.absolute().parents


def format_bytes(num_bytes: int) -> str:
    """Return a size as people write it, in decimal units: `1.5 GB`."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def remove_stale_temporaries(folder: Path) -> None:
    """Remove the temporaries of dead processes from `folder`.

    Those of living processes, of other machines and of other containers stay. What cannot be
    listed or removed is left as it is: this is tidying, not a condition for going on.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for name in [entry.name for entry in entries if is_stale(entry.name)]:
            with suppress(OSError):
                (folder / name).unlink()
