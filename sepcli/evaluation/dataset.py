"""Test sets: folders in the layout of WSJ0-2mix or LibriMix, and the estimates of their recordings.

`s1`, `s2`, … hold the references, `mix`, `mix_clean` or `mix_both` the mixtures; a recording has
one name in all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sepcli.audio import AudioReader, find_audio_files, mono_blocks
from sepcli.errors import AudioError, UsageError
from sepcli.files import printable

Waveforms = npt.NDArray[np.float32]

MIXTURE_FOLDERS = ("mix", "mix_clean", "mix_both", "mixture")
LAYOUT_HINT = "lay it out as FOLDER/{mix,s1,s2}/NAME.wav, as WSJ0-2mix and LibriMix are"


@dataclass(frozen=True)
class Item:
    """One recording of a test set.

    Attributes:
        name: Path below the folders of the set.
        references: One file per speaker.
        mixture: What was recorded, where the set holds it.
        doubles: Two files of which one is meant, and nobody knows which; empty where all is clear.
    """

    name: str
    references: tuple[Path, ...]
    mixture: Path | None
    doubles: tuple[Path, ...] = ()


def find_items(folder: Path, mixtures: str = "") -> tuple[list[Item], str]:
    """Return the recordings of a test set, sorted, and the folder of mixtures that was taken.

    Args:
        folder: Holds `s1`, `s2`, … and perhaps mixtures.
        mixtures: Which of its folders holds the mixtures; empty for the first there is.

    Raises:
        AudioError: It has no such layout, or a folder has no recordings.
        UsageError: The folder of mixtures is not there.
    """
    if not folder.is_dir():
        raise AudioError(f"no such folder: {printable(folder)}", LAYOUT_HINT)
    sources: list[Path] = []
    while (folder / f"s{len(sources) + 1}").is_dir():
        sources.append(folder / f"s{len(sources) + 1}")
    if not sources:
        within = sorted(path.parent.name for path in folder.glob("*/s1"))
        hint = f"name one of its parts: {', '.join(within)}" if within else LAYOUT_HINT
        raise AudioError(f"no references (s1, s2, …) in: {printable(folder)}", hint)
    there = [name for name in MIXTURE_FOLDERS if (folder / name).is_dir()]
    if mixtures and not (folder / mixtures).is_dir():
        raise UsageError(
            f"no such folder: {printable(folder / mixtures)}",
            f"there is: {', '.join(there)}" if there else LAYOUT_HINT,
        )
    chosen = mixtures or next(iter(there), "")
    roots = [*sources, *([folder / chosen] if chosen else [])]
    found = [index_files(root) for root in roots]
    names = sorted({name for files in found for name in files})
    if not names:
        raise AudioError(f"no recordings in: {printable(folder)}", LAYOUT_HINT)
    items = []
    for name in names:
        # A file that is missing keeps its place: reading it fails, which is counted.
        same = [files.get(name, (root / name,)) for root, files in zip(roots, found, strict=True)]
        paths = [files[0] for files in same]
        doubles = next((files[:2] for files in same if len(files) > 1), ())
        mixture = paths[-1] if chosen else None
        items.append(Item(name, tuple(paths[: len(sources)]), mixture, doubles))
    return items, chosen


def index_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the recordings below a folder by their path in it, without ending.

    There should be one of each name; which is meant where there are more, nobody knows.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for path in find_audio_files(folder, recursive=True):
        name = path.relative_to(folder).with_suffix("").as_posix()
        found[name] = (*found.get(name, ()), path)
    return found


def _refuse_doubles(files: Sequence[Path]) -> None:
    """Raise `AudioError` if there are two files where one is meant."""
    if len(files) > 1:
        raise AudioError(
            f"two files of one name: {printable(files[0])} and {printable(files[1])}",
            "remove one of them, or move it away",
        )


def find_estimates(files: Mapping[str, Sequence[Path]], name: str) -> list[Path]:
    """Return the estimates of a recording, `NAME_spk1.*`, … or `s1/NAME.*`, …; may be empty.

    Args:
        files: What `index_files` found.
        name: Of the recording, as in its `Item`.

    Raises:
        AudioError: There are two files where one is meant.
    """
    for before, after in ((f"{name}_spk", ""), ("s", f"/{name}")):
        found: list[Path] = []
        while (key := f"{before}{len(found) + 1}{after}") in files:
            _refuse_doubles(files[key])
            found.append(files[key][0])
        if found:
            return found
    return []


def read_item(item: Item) -> tuple[Waveforms, int, bool]:
    """Return the references and, where there is one, the mixture of a recording, as `read` does.

    Raises:
        AudioError: One cannot be read, rates differ, or there are two files where one is meant.
    """
    _refuse_doubles(item.doubles)
    return read([*item.references, *([item.mixture] if item.mixture else [])])


def read(paths: Sequence[Path]) -> tuple[Waveforms, int, bool]:
    """Return recordings as `[files, samples]`, their rate, and whether lengths differed.

    Channels are mixed down; longer ones are cut to the shortest.

    Raises:
        AudioError: One cannot be read, or rates differ.
    """
    waveforms, rates = [], set()
    for path in paths:
        with AudioReader(path) as reader:
            waveforms.append(np.concatenate([*mono_blocks(reader), np.zeros(0, np.float32)]))
            rates.add(reader.info.sample_rate)
    if len(rates) > 1:
        found = ", ".join(map(str, sorted(rates)))
        raise AudioError(f"sample rates differ: {found}", "bring all files of it to one rate")
    lengths = {len(waveform) for waveform in waveforms}
    cut = np.stack([waveform[: min(lengths)] for waveform in waveforms])
    return cut, rates.pop(), len(lengths) > 1
