"""models.toml against the code: every entry builds, and has the sizes that it states."""

import dataclasses
import re
import zlib
from pathlib import Path

import pytest

import sepcli.models
from sepcli.evaluation.complexity import count_parameters, macs_per_second
from sepcli.models.build import build_network
from sepcli.models.entry import ModelEntry
from sepcli.models.formats import load_format
from sepcli.models.registry import load_entries

ENTRIES = list(load_entries().values())
COUNTED = ("convtasnet-libri2mix-clean-8k", "dprnn-ks16-wham", "resepformer-wsj02mix")
BUILTIN = tuple(entry.name for entry in ENTRIES if entry.builtin)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_entry_states_the_sizes_of_its_network(entry: ModelEntry) -> None:
    network, config = build_network(entry.architecture, entry.config, where=entry.name)
    assert count_parameters(network) == entry.parameters
    assert entry.macs_per_second > 0
    assert getattr(config, "num_speakers", entry.speakers) == entry.speakers
    # From the entry, never from a default of the class; nothing in TOML stands for None.
    silent = {field.name for field in dataclasses.fields(config)} - set(entry.config)
    assert all(getattr(config, name) is None for name in silent), silent


@pytest.mark.parametrize("name", COUNTED + BUILTIN)
def test_an_entry_states_the_operations_of_its_network(name: str) -> None:
    entry = load_entries()[name]
    network, _ = build_network(entry.architecture, entry.config, where=name)
    assert macs_per_second(network, entry.sample_rate) == entry.macs_per_second


def test_what_is_inside_the_package_leaves_it_below_10_mb() -> None:
    data = Path(sepcli.models.__file__).parent / "data"
    inside = sum(len(zlib.compress(path.read_bytes())) for path in data.rglob("*.safetensors"))
    assert inside < 9.3e6  # code, documents and the example take 0.7 MB of an archive


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_entry_says_what_a_user_wants_to_know(entry: ModelEntry) -> None:
    load_format(entry.format, where=entry.name)
    assert entry.license
    assert entry.trained_on
    assert entry.builtin or (entry.download_bytes and entry.paper.startswith("https://"))
    assert entry.revision == "main" or re.fullmatch(r"[0-9a-f]{40}", entry.revision)
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in entry.sha256.values())
    names = {name for spec in entry.files for name in spec.removesuffix("?").split("|")}
    assert set(entry.sha256) <= names
    # A digest only holds for a revision that cannot move.
    assert not entry.sha256 or entry.revision != "main" or entry.builtin
