"""Pictures that commands draw on the side: what could stop them is said before the work."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sepcli.errors import OutputError, SepcliError
from sepcli.files import refuse_taken, write_whole


def require_plot(path: Path, *, overwrite: bool) -> None:
    """Raise if nothing can be drawn to `path`.

    Raises:
        SepcliError: matplotlib is not installed.
        OutputError: The ending is no picture's; see also `refuse_taken`.
    """
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as problem:
        raise SepcliError(
            "drawing needs matplotlib", "install it with: pip install 'sepcli[metrics]'"
        ) from problem
    refuse_taken(path, overwrite=overwrite)
    if path.suffix.lower().lstrip(".") not in FigureCanvasBase.filetypes:
        raise OutputError(f"cannot draw a file of this kind: {path}", "name it .png, .svg or .pdf")


@contextmanager
def drawn(path: Path, width: float, height: float) -> Iterator[Any]:
    """Yield matplotlib's axes to draw on, `width` by `height` inches; then write them to `path`.

    Raises:
        OutputError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    yield figure.subplots()
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix.lower().lstrip("."))
    write_whole(path, picture.getvalue())
