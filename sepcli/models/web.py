"""A file of a model from an address on the web, put where the hub's client keeps its own.

For weights that their authors published beside their code and not on the hub. The digest in the
entry, not the server, says whether the file is the right one; see `hub.fetch_files`.
"""

from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from sepcli.models.cache import place
from sepcli.models.entry import Source

UNCOMPRESSED = {"Accept-Encoding": "identity"}  # so that what comes is what was announced
RANGE_NOT_SATISFIABLE = 416  # the answer to bytes asked for behind the end of a file
PARTIAL = ".incomplete"  # as the hub's client calls what it has of a file


def address(source: Source, name: str) -> str:
    """Return the address of a file, made of the template of its source."""
    repo, revision, file = (quote(part) for part in (source.repo, source.revision, name))
    return source.address.format(repo=repo, revision=revision, file=file)


def download(source: Source, name: str, *, anew: bool = False) -> Path:
    """Return where a file lies in the cache, downloaded; what there is of it is gone on with.

    Args:
        source: Has an address.
        name: Of the file.
        anew: Whether to begin at the beginning, whatever there is.

    Raises:
        Exception: What the hub's client raises for a request of its own; `explained` tells it.
    """
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    target = place(source, name)
    partial = target.with_name(target.name + PARTIAL)
    target.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(target.with_name(target.name + ".lock")):
        if target.is_file() and not anew:
            return target  # another process was faster
        if anew:
            partial.unlink(missing_ok=True)
        with partial.open("ab") as stream:
            _append(address(source, name), stream)
        partial.replace(target)
    return target


def _append(url: str, stream: BinaryIO) -> None:
    """Write what is missing to the end of a file, or all of it where nothing can be missing."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get

    try:
        http_get(url, stream, resume_size=stream.tell(), headers=UNCOMPRESSED)
    except HfHubHTTPError as refusal:
        if refusal.response.status_code != RANGE_NOT_SATISFIABLE:
            raise
        # As long as the file or longer: a run ended before it was renamed, or the file changed.
        stream.truncate(0)
        http_get(url, stream, headers=UNCOMPRESSED)
