"""`sepcli mix`: mixtures with references from single-speaker speech."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sepcli.cli import console, options
from sepcli.errors import OutputError
from sepcli.files import (
    AlreadyThereError,
    output_error,
    real_path,
    remove_stale_temporaries,
    write_whole,
)

if TYPE_CHECKING:
    import numpy as np

    from sepcli.training.dataset import Skipped, Utterance
    from sepcli.training.mixtures import Material, Mixture

    Waveform = np.ndarray[Any, np.dtype[np.float32]]

CACHED_RECORDINGS = 512
MANIFEST = "manifest.csv"
TURNS = "turns.rttm"
MOST_SPEAKERS = 8
TRACKS = ("mix_clean", "mix_both", "noise", *(f"s{n}" for n in range(1, MOST_SPEAKERS + 1)))
PARTS = (MANIFEST, TURNS, *TRACKS)


def mix(
    speech: Annotated[
        Path,
        typer.Argument(help="Folder SPEAKER/*.wav (or flac, ogg, …), manifest CSV, or pack."),
    ],
    output_dir: Annotated[
        Path, typer.Option("-o", "--output-dir", help="Folder to write the set to.")
    ],
    count: Annotated[int, typer.Option("-n", "--count", help="Number of mixtures.", min=1)] = 100,
    speakers: Annotated[
        int, typer.Option(help="Speakers per mixture.", min=1, max=MOST_SPEAKERS)
    ] = 2,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.", min=0)] = 0,
    sample_rate: Annotated[
        int, typer.Option(metavar="HZ", help="Sample rate.", min=1000, max=768_000)
    ] = 8000,
    style: Annotated[
        Literal["together", "conversation"],
        typer.Option(help="Sources start together (overlap fully), or take turns."),
    ] = "together",
    length: Annotated[
        Literal["min", "max"],
        typer.Option(help="min cuts sources to the shortest, max pads them with silence."),
    ] = "min",
    min_seconds: Annotated[
        float, typer.Option(help="Join a speaker's utterances until they are this long.", min=0.1)
    ] = 3.0,
    max_seconds: Annotated[
        float, typer.Option(help="Longest mixture; length of a conversation.", min=0.1)
    ] = 30.0,
    level_db: Annotated[
        float, typer.Option(help="Width of the range that loudness is drawn from, in dB.", min=0.0)
    ] = 8.0,
    overlap_ratio: Annotated[
        float, typer.Option(help="Share of a conversation in which two talk at once.")
    ] = 0.2,
    pause_seconds: Annotated[
        float, typer.Option(help="Longest pause between the turns of a conversation.")
    ] = 1.5,
    noise: Annotated[
        Path | None, typer.Option(help="Folder of noise; adds mix_both and noise.")
    ] = None,
    snr_db: Annotated[
        tuple[float, float],
        typer.Option(metavar="LOW HIGH", help="Lowest and highest signal-to-noise ratio, in dB."),
    ] = (5.0, 20.0),
    rooms: Annotated[
        Path | None,
        typer.Option(help="Folder of room impulse responses, NAME_1.wav, NAME_2.wav, … per room."),
    ] = None,
    split: Annotated[str, typer.Option(help="Keep rows of this split of a manifest.")] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a set that exists.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Make mixtures with their references, laid out like LibriMix.

    Writes DIR/mix_clean, s1, s2, … (with noise also mix_both and noise), DIR/turns.rttm with who
    speaks when, and DIR/manifest.csv. References in rooms are reverberant.
    """
    console.configure(quiet=quiet)
    from sepcli.training.dataset import find_speech
    from sepcli.training.mixtures import MixOptions, make_mixture

    how = MixOptions(
        num_speakers=speakers,
        sample_rate=sample_rate,
        style=style,
        length=length,
        min_seconds=min_seconds,
        max_seconds=max_seconds,
        level_db=level_db,
        overlap_ratio=overlap_ratio,
        pause_seconds=pause_seconds,
        snr_db=snr_db,
    )
    if not overwrite and (there := [name for name in PARTS if (output_dir / name).exists()]):
        raise _taken(output_dir / there[0])
    utterances = find_speech(speech, split=split)
    _refuse_inputs(output_dir, [speech, noise, rooms, *(item.path for item in utterances)])
    material, skipped = _material(speech, utterances, sample_rate, noise, rooms)
    rows, turns = [], []
    try:
        with console.progress("mixing", total=count, unit="items") as bar:
            for number in range(count):
                mixture = make_mixture(material, how, seed, number)
                if number == 0:  # only now it is known that a new set can be made
                    _begin_set(mixture, output_dir, overwrite=overwrite)
                name = f"{number:0{max(5, len(str(count - 1)))}}.wav"
                _write(mixture, output_dir, name, sample_rate)
                rows.append(_row(mixture, name, sample_rate))
                turns.append(_turns(mixture, name, sample_rate))
                bar.advance()
        # the manifest is last: where there is one, the set is whole
        for name, text in ((TURNS, "".join(turns)), (MANIFEST, _table(rows))):
            content = text.encode("utf-8", "surrogateescape")
            write_whole(output_dir / name, content, overwrite=False)
    except AlreadyThereError as error:  # another run is writing a set
        raise _taken(output_dir) from error
    finally:  # an error may be about what was skipped
        for line in skipped.lines():
            console.warn(line)
    console.result(str(output_dir / MANIFEST))


def _taken(path: Path) -> OutputError:
    """Return the error of a set, or a part of it, that is not to be replaced."""
    hint = "give --overwrite or another -o"
    return OutputError(f"a set is there already, or a part of one: {path}", hint)


def _refuse_inputs(folder: Path, inputs: Iterable[Path | None]) -> None:
    """Raise `OutputError` if the set would lie among what it is made of, or replace it."""
    ours = real_path(folder)
    parts = [real_path(folder / part) for part in PARTS]
    for given in filter(None, inputs):
        theirs = real_path(given)
        within = [theirs.is_relative_to(part) for part in parts]
        # a file has nothing in it, and one whose name is too long is passed over later
        if (os.path.isdir(theirs) and ours.is_relative_to(theirs)) or any(within):  # noqa: PTH112
            raise OutputError(
                f"the set would lie among its own inputs: {folder}", "choose another -o"
            )


def _remove_set(folder: Path) -> None:
    """Remove what an earlier set left: files with numbers for names or without one, its tables.

    The manifest goes first, so that there is none of a set that is not whole. Folders go where
    nothing else is in them: an empty s3 would be a third reference.
    """
    for name in (MANIFEST, TURNS):
        (folder / name).unlink(missing_ok=True)
    for track in TRACKS:
        remove_stale_temporaries(folder / track)
        for path in sorted((folder / track).glob("*.wav")):
            if path.stem.isdecimal():
                path.unlink()
        with suppress(OSError):  # not there, or somebody's files are in it
            (folder / track).rmdir()


def _material(
    speech: Path,
    utterances: "Sequence[Utterance]",
    sample_rate: int,
    noise: Path | None,
    rooms: Path | None,
) -> "tuple[Material, Skipped]":
    """Return what mixtures are made of, and the account of what was passed over on the way."""
    from sepcli.training.dataset import Skipped, decode, read_recordings, to_float
    from sepcli.training.mixtures import Material
    from sepcli.training.simulate import group_rooms

    skipped = Skipped()
    root = speech if speech.is_dir() else speech.parent
    found = {item.member or os.path.relpath(item.path, root): item for item in utterances}
    recordings: dict[str, list[str]] = {}
    for name, item in found.items():
        recordings.setdefault(item.speaker, []).append(name)
    told: set[str] = set()

    @lru_cache(maxsize=CACHED_RECORDINGS)
    def load(name: str) -> "Waveform | None":
        decoded = decode(found[name], sample_rate, (1.0,))
        if not isinstance(decoded, str):
            return to_float(decoded[0])
        if name not in told:
            told.add(name)
            skipped.add(decoded, name)
        return None

    noises, responses = (
        _told(read_recordings(folder, sample_rate)) if folder else {} for folder in (noise, rooms)
    )
    return Material(recordings, load, noises, group_rooms(responses, sample_rate)), skipped


def _told(read: "tuple[dict[str, Waveform], Skipped]") -> "dict[str, Waveform]":
    """Return what was read from a folder, and say what was not."""
    for line in read[1].lines():
        console.warn(line)
    return read[0]


def _tracks(mixture: "Mixture") -> "Iterator[tuple[str, Waveform]]":
    """Yield folder and waveform of everything that is written for a mixture."""
    yield "mix_clean", mixture.clean
    for number, reference in enumerate(mixture.references, 1):
        yield f"s{number}", reference
    if mixture.noise is not None:
        yield "mix_both", mixture.noisy
        yield "noise", mixture.noise


def _begin_set(mixture: "Mixture", folder: Path, *, overwrite: bool) -> None:
    """Make the folders of a set, once: if they are removed meanwhile, it is not whole any more."""
    if overwrite:
        _remove_set(folder)
    for track, _ in _tracks(mixture):
        try:
            (folder / track).mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise output_error(folder / track, problem) from problem


def _write(mixture: "Mixture", folder: Path, name: str, sample_rate: int) -> None:
    from sepcli.audio import AudioWriter

    for track, waveform in _tracks(mixture):
        with AudioWriter(folder / track / name, sample_rate, subtype="PCM_16") as writer:
            writer.write(waveform)
            writer.commit()


def _row(mixture: "Mixture", name: str, sample_rate: int) -> dict[str, str]:
    """Return a row of the manifest; paths are relative to it."""
    paths = {track: f"{track}/{name}" for track, _ in _tracks(mixture)}
    return paths | {
        "seconds": f"{mixture.references.shape[1] / sample_rate:.3f}",
        "sample_rate": str(sample_rate),
        "speakers": "|".join(mixture.speakers),
        "recordings": "|".join(" ".join(names) for names in mixture.recordings),
        "gains_db": "|".join(f"{gain:.2f}" for gain in mixture.gains_db),
        "noise_recording": mixture.noise_name,
        "overlap_ratio": f"{mixture.overlap_ratio:.4f}",
    }


def _turns(mixture: "Mixture", name: str, sample_rate: int) -> str:
    """Return who speaks when in a mixture; speakers are named after the folders of references."""
    from sepcli.separation.labels import Labels, rttm

    names = [f"s{number}" for number in range(1, len(mixture.references) + 1)]
    seconds = mixture.references.shape[1] / sample_rate
    return rttm(Labels(Path(name).stem, seconds, names, mixture.turns))


def _table(rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
