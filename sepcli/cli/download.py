"""`sepcli download`: weights fetched beforehand, and checked."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from sepcli.cli import console, options
from sepcli.errors import SepcliError, UsageError
from sepcli.models.registry import complete_model, load_entries


def download(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...",
            help="Names, see sepcli info, hf:ORG/REPO, or ecapa, a speaker embedding.",
            autocompletion=complete_model,
            show_default=False,
        ),
    ] = None,
    everything: options.Everything = False,
    revision: options.Revision = "",
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Check cached files and fetch damaged ones again; without MODEL, all of them.",
        ),
    ] = False,
) -> None:
    """Download models into the cache, so that later runs need no network."""
    if everything and (models or revision):
        raise UsageError("--all goes with neither MODEL nor --revision", "give --all alone")
    if revision and not models:
        raise UsageError("--revision is of one model", "name it, as in: sepcli download spgm")
    if not (models or everything or verify):
        raise UsageError("no model given", "name one, or give --all; see: sepcli info")
    failed, first_code = 0, 1
    for name in _wanted(models or [], everything=everything):
        try:
            _fetch(name, revision, verify=verify)
        except SepcliError as failure:
            console.error(failure)
            failed, first_code = failed + 1, failure.exit_code
    if failed:
        raise typer.Exit(first_code if failed == 1 and len(models or []) == 1 else 1)


def _wanted(models: list[str], *, everything: bool) -> Iterator[str]:
    """Yield the models to work on: those named, all, or (to verify) all that are cached."""
    from sepcli.models.cache import cached_files
    from sepcli.separation.speakers.embedding import VOICES

    if models:
        yield from models
        return
    if everything:
        yield from load_entries()
        return
    for name, source in [*load_entries().items(), *VOICES.items()]:
        if cached_files(source) is not None:
            yield name


def _fetch(name: str, revision: str, *, verify: bool) -> None:
    from sepcli.models.hub import fetch_model
    from sepcli.models.load import load_model
    from sepcli.models.resolve import resolve_model
    from sepcli.separation.speakers.embedding import VOICES

    if name in VOICES:
        _fetch_voices(name, revision, verify=verify)
        return
    with console.loading(name) as show:
        entry = resolve_model(name, revision=revision, on_progress=show)
        fetched = fetch_model(entry, on_progress=show, refresh=True)
        if verify:
            load_model(fetched.entry, on_progress=show)
    if fetched.note:
        console.note(fetched.note)
    stand_in = "" if fetched.entry.name == entry.name else f" ({fetched.entry.name})"
    _tell(entry.name + stand_in, fetched.files, verify=verify)


def _fetch_voices(name: str, revision: str, *, verify: bool) -> None:
    from sepcli.models.hub import fetch_files
    from sepcli.separation.speakers.embedding import VOICES, load_embed

    if revision:
        raise UsageError(f"voices have no other revision: {name}", "leave out --revision")
    with console.loading(name) as show:
        files = fetch_files(VOICES[name], on_progress=show, refresh=True)
        if verify:
            load_embed(name, on_progress=show)
    _tell(name, files, verify=verify)


def _tell(title: str, files: Mapping[str, Path], *, verify: bool) -> None:
    size = sum(path.stat().st_size for path in files.values())
    console.result(f"{title}\t{'verified' if verify else 'ready'}\t{size / 1e6:.1f} MB")
