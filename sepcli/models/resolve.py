"""From what `--model` says to an entry: a NAME, a FOLDER or hf:ORG/REPO; no torch import.

Only a repository that no table knows is looked into, with the readers of its weights.
"""

import dataclasses
from pathlib import Path
from types import MappingProxyType

from sepcli.errors import ModelError, UsageError, WeightsError
from sepcli.models.cache import is_offline
from sepcli.models.entry import ModelEntry, check_repo, make_entry
from sepcli.models.formats import DETECTION_ORDER, load_format
from sepcli.models.hub import OnProgress, find_file
from sepcli.models.registry import (
    HUB_PREFIX,
    MODEL_FILE,
    entry_from_folder,
    find_entry,
    load_entries,
    read_toml,
)


def resolve_model(
    model: str, *, revision: str = "", on_progress: OnProgress | None = None
) -> ModelEntry:
    """Return the entry that `--model` means: a NAME, a FOLDER or hf:ORG/REPO.

    Args:
        model: As on the command line.
        revision: Branch, tag or commit to use in place of the entry's; empty for the entry's.
        on_progress: As for `load_model`; a repository outside the table may have to be looked into.

    Raises:
        ModelError: There is no such model.
        WeightsError: The repository cannot be reached, or its format is not recognised.
        UsageError: A folder was given together with a revision.
    """
    if not model:
        raise ModelError("no model is named", "give a NAME, a FOLDER or hf:ORG/REPO: sepcli info")
    if model.startswith(HUB_PREFIX):
        repo = check_repo(model.removeprefix(HUB_PREFIX))
        known = [entry for entry in load_entries().values() if entry.repo == repo]
        if known and not known[-1].address:
            return _at_revision(dataclasses.replace(known[-1], name=model), revision)
        return _entry_of_repository(repo, revision or "main", on_progress)
    if model not in load_entries() and (Path(model).is_dir() or "/" in model or model == "."):
        entry = entry_from_folder(Path(model))
    else:
        entry = find_entry(model)
    if revision and (entry.folder is not None or entry.address):
        inside = "a model inside the package" if model in load_entries() else "a model folder"
        kind = "an address" if entry.address else inside
        raise UsageError(f"{kind} has no revision: {revision}", "leave out --revision")
    return _at_revision(entry, revision)


def _at_revision(entry: ModelEntry, revision: str) -> ModelEntry:
    if not revision or revision == entry.revision:
        return entry
    # What is known of the table's revision says nothing about another one.
    return dataclasses.replace(
        entry, revision=revision, sha256=MappingProxyType({}), fallback="", download_bytes=0
    )


def _entry_of_repository(repo: str, revision: str, on_progress: OnProgress | None) -> ModelEntry:
    """Return an entry made of what a repository says about itself."""
    name = HUB_PREFIX + repo
    own = find_file(repo, revision, MODEL_FILE, on_progress=on_progress)
    if own is not None:
        body = {**read_toml(own), "repo": repo, "revision": revision}
        return make_entry(name, body, source=MODEL_FILE)
    for format_name in DETECTION_ORDER:
        reader = load_format(format_name, where=name)
        files = {file: find_file(repo, revision, file) for file in reader.config_files}
        present = {file: path for file, path in files.items() if path is not None}
        if len(present) < len(files):
            continue
        found = reader.describe(present)
        if found is not None and found.architecture and found.speakers and found.sample_rate:
            return ModelEntry(
                name=name,
                architecture=found.architecture,
                format=format_name,
                files=reader.files,
                speakers=found.speakers,
                sample_rate=found.sample_rate,
                config=found.config,
                repo=repo,
                revision=revision,
            )
    if is_offline():
        raise WeightsError(
            f"not in the cache, and HF_HUB_OFFLINE is set: {repo}",
            f"run `sepcli download {name}` once where there is a network",
        )
    raise ModelError(
        f"format of the repository is not recognised: {repo}",
        "write an entry for it into your models.toml as the README describes",
    )
