"""What a run separates with: a network in this process, or one in each of several processes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from sepcli.cli import console
from sepcli.cli.info import is_experimental, is_here
from sepcli.cli.signals import under_a_parent
from sepcli.models.cache import cached_files
from sepcli.models.entry import ModelEntry
from sepcli.models.load import LoadedModel, load_model
from sepcli.models.resolve import resolve_model
from sepcli.separation.batch import separate_jobs
from sepcli.separation.devices import refuse_stdin, separate_on, split_devices
from sepcli.separation.enrolment import read_enrolment
from sepcli.separation.jobs import Job
from sepcli.separation.outcome import Outcome
from sepcli.separation.pipeline import Pipeline, Say
from sepcli.separation.runner import check_precision, choose_device
from sepcli.separation.separator import SeparationOptions, Separator
from sepcli.separation.speakers import Embed
from sepcli.separation.speakers.embedding import VOICES, load_embed
from sepcli.separation.writing import OutputOptions

Separate = Callable[
    [Sequence[Job], OutputOptions, Callable[[float], None], Callable[[float], None]],
    Iterator[Outcome],
]


def separation_with(
    entry: ModelEntry, named: str, revision: str, options: SeparationOptions, jobs: Sequence[Job]
) -> tuple[Separate, ModelEntry]:
    """Return what separates recordings on the device or devices of `options`, and its model.

    Args:
        entry: The model.
        named: How the user named it, for processes that look it up themselves.
        revision: The one asked for; empty for the entry's own.
        options: How it runs.
        jobs: What is to be done; no more devices are taken than there are jobs.
    """
    devices = split_devices(options.device)[: len(jobs)]
    if len(devices) == 1:
        separator = load_separator(entry, replace(options, device=devices[0]))
        return partial(separate_jobs, separator.pipeline), separator.entry
    refuse_stdin(jobs)
    # once, before they all do: it fetches what is not here, and tells what is wrong with it
    loaded, _ = _load(entry, options, devices)
    make = partial(_pipeline, named, revision, options)
    return partial(separate_on, devices, make, say=console.note, guard=under_a_parent), loaded.entry


def load_separator(entry: ModelEntry, options: SeparationOptions) -> Separator:
    """Return the separator of `entry`, with a bar while its weights are downloaded."""
    loaded, embed = _load(entry, options, [options.device])
    return Separator(loaded.network, loaded.entry, options, say=console.note, embed=embed)


def _load(
    entry: ModelEntry, options: SeparationOptions, devices: Sequence[str]
) -> tuple[LoadedModel, Embed]:
    """Return network and voices, once the devices are known to be usable."""
    for device in devices:
        check_precision(choose_device(device), options.precision)  # before a download
    for name, path in options.known.items():  # and so are voices that cannot be known
        read_enrolment(name, path, entry.sample_rate)
    if is_experimental(entry):
        console.warn(f"{entry.name} is experimental, it separates little", "see: sepcli info")
    if entry.repo and not is_here(entry):
        where = "the web" if entry.address else "the hub"
        console.note(f"fetching weights from {where}: {entry.name}")
    voices = VOICES.get(options.voices)
    if voices is not None and cached_files(voices) is None:
        console.note(f"fetching voices from the hub: {voices.name}")
    with console.loading(entry.name) as show:
        embed = load_embed(options.voices, on_progress=show)
        loaded = load_model(entry, on_progress=show)
    if loaded.note:
        console.note(loaded.note)
    return loaded, embed


def _pipeline(
    named: str, revision: str, options: SeparationOptions, device: str, say: Say
) -> Pipeline:
    """Return what separates in another process, on its device."""
    loaded = load_model(resolve_model(named, revision=revision))
    embed = load_embed(options.voices)
    here = replace(options, device=device)
    return Separator(loaded.network, loaded.entry, here, say=say, embed=embed).pipeline
