"""From an entry to its network, ready to run: fetch, read, build, load strictly.

The files are those of the entry's repository or folder; where the repository carries a
configuration of its own, that one is used, since it was written with the weights.
"""

import dataclasses
from dataclasses import dataclass

from torch import nn

from sepcli.errors import ModelError
from sepcli.models.build import assign_weights, build_network
from sepcli.models.cache import is_offline
from sepcli.models.entry import ModelEntry
from sepcli.models.foreign import DamagedFileError
from sepcli.models.formats import load_format
from sepcli.models.hub import Fetched, OnProgress, fetch_again, fetch_model


@dataclass(frozen=True)
class LoadedModel:
    """A network with its weights.

    Attributes:
        network: In eval mode, float32, on the processor.
        entry: Whose weights they are: of the model asked for, or of its fallback.
        note: Why it is the fallback, one line to tell the user; empty where it is not.
    """

    network: nn.Module
    entry: ModelEntry
    note: str = ""


def load_model(entry: ModelEntry, *, on_progress: OnProgress | None = None) -> LoadedModel:
    """Return the entry's network with its weights, or that of its fallback, in eval mode.

    Args:
        entry: Which model.
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
    return LoadedModel(network.eval(), fetched.entry, fetched.note)


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
    if checked.num_speakers != entry.speakers:
        raise ModelError(
            f"{where} promises num_speakers {entry.speakers}, its network has "
            f"{checked.num_speakers}"
        )
    if description is not None and description.sample_rate not in (0, entry.sample_rate):
        raise ModelError(
            f"{where} promises sample_rate {entry.sample_rate}, "
            f"its repository says {description.sample_rate}"
        )
    assign_weights(network, reader.read(fetched.files, entry.architecture), where=where)
    return network
