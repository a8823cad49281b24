"""From a model's name to its network, ready to run: resolve, fetch, check, build, load strictly.

The files are those of the entry's repository or folder; where the repository carries a
configuration of its own, that one is used, since it was written with the weights.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn

from sepcli.errors import ModelError, UsageError, WeightsError
from sepcli.models.build import assign_weights, build_network
from sepcli.models.cache import is_offline
from sepcli.models.entry import ModelEntry, check_repo, make_entry
from sepcli.models.foreign import DamagedFileError
from sepcli.models.formats import DETECTION_ORDER, load_format
from sepcli.models.hub import Fetched, OnProgress, fetch_again, fetch_model, find_file
from sepcli.models.registry import (
    HUB_PREFIX,
    MODEL_FILE,
    entry_from_folder,
    find_entry,
    load_entries,
    read_toml,
)


@dataclass(frozen=True)
class LoadedModel:
    """A network with its weights.

    Attributes:
        network: In eval mode, float32.
        entry: Whose weights they are: of the model asked for, or of its fallback.
        note: Why it is the fallback, one line to tell the user; empty where it is not.
    """

    network: nn.Module
    entry: ModelEntry
    note: str = ""


def resolve_model(
    model: str, *, revision: str | None = None, on_progress: OnProgress | None = None
) -> ModelEntry:
    """Return the entry that `--model` means: a NAME, a FOLDER or hf:ORG/REPO.

    Args:
        model: As on the command line.
        revision: Branch, tag or commit to use in place of the entry's; None for the entry's.
        on_progress: As for `load_model`; a repository outside the table may have to be looked into.

    Raises:
        ModelError: There is no such model.
        WeightsError: The repository cannot be reached, or its format is not recognised.
        UsageError: A folder was given together with a revision.
    """
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
        kind = "an address" if entry.address else "a model folder"
        raise UsageError(f"{kind} has no revision: {revision}", "leave out --revision")
    return _at_revision(entry, revision)


def load_model(
    entry: ModelEntry,
    *,
    device: str | torch.device = "cpu",
    on_progress: OnProgress | None = None,
) -> LoadedModel:
    """Return the entry's network with its weights, or that of its fallback, in eval mode.

    Args:
        entry: Which model.
        device: Where the network is put.
        on_progress: Called with (file, bytes done, bytes in all) while a download runs.

    Raises:
        ModelError: The entry or its configuration is wrong.
        WeightsError: The weights cannot be fetched, are unsafe, or do not fit the network.
    """
    fetched = fetch_model(entry, on_progress=on_progress)
    try:
        network = _network_of(fetched)
    except DamagedFileError:
        if fetched.entry.folder is not None or is_offline():
            raise
        files = fetch_again(fetched.entry, fetched.files, on_progress=on_progress)
        network = _network_of(dataclasses.replace(fetched, files=files))
    return LoadedModel(network.eval().to(device), fetched.entry, fetched.note)


def load_network(
    entry: ModelEntry,
    *,
    device: str | torch.device = "cpu",
    on_progress: OnProgress | None = None,
) -> nn.Module:
    """Return the network of `load_model` alone, for who need not know whose weights it has."""
    return load_model(entry, device=device, on_progress=on_progress).network


def _network_of(fetched: Fetched) -> nn.Module:
    entry = fetched.entry
    where = f"model {entry.name}"
    reader = load_format(entry.format, where=where)
    description = reader.describe(fetched.files)
    config = dict(entry.config)
    if description is not None:
        if description.architecture not in ("", entry.architecture):
            raise ModelError(
                f"files of {where} are of another architecture: {description.architecture}",
                f"set architecture = `{description.architecture}` in its entry",
            )
        # The files know best what was trained; the entry speaks where they are silent.
        config |= description.config
    network, checked = build_network(entry.architecture, config, where=where)
    for name, promised in (("num_speakers", entry.speakers), ("sample_rate", entry.sample_rate)):
        if getattr(checked, name, promised) != promised:
            raise ModelError(
                f"{where} promises {name} {promised}, its network has {getattr(checked, name)}"
            )
    if description is not None and description.sample_rate not in (0, entry.sample_rate):
        raise ModelError(
            f"{where} promises sample_rate {entry.sample_rate}, "
            f"its repository says {description.sample_rate}"
        )
    assign_weights(network, reader.read(fetched.files, entry.architecture), where=where)
    return network


def _at_revision(entry: ModelEntry, revision: str | None) -> ModelEntry:
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
