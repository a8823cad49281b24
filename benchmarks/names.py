"""Measures how often people whose voices are given are called by name, and strangers nobody.

    python benchmarks/names.py                            speakers that nothing was trained on
    python benchmarks/names.py --split train --pieces     speakers that it was trained on

Draws ten people and as many strangers from the speech (`--speech`, a manifest as `sepcli mix` takes
it). Five seconds of each of the ten are their `--voice`; conversations are made of the rest by
`sepcli mix` (2 to 4 people, a fifth overlapped, pauses up to 2 s, seeded), of people who are known
and of strangers apart. The table has a row a likeness that could be asked for:

    named       people who are known, and are called so
    mistaken    people who are called by another's name, known or not
    nobody      strangers who are called nobody

The separator is told how many people there are. Who of those found is whom of those who speak shows
in when they speak. With `--pieces` nothing is separated: what is not in `--voice` is heard as it
is, and people are drawn two thousand times.
"""

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from conversations import read_truth, run_sepcli
from scipy.optimize import linear_sum_assignment

from sepcli import SeparationOptions, Separator
from sepcli.audio import AudioReader
from sepcli.models.registry import DEFAULT_MODEL
from sepcli.separation.recording import Recording
from sepcli.separation.scratch import Spool
from sepcli.separation.speakers import Embed, KnownVoices, Scene, Turn, recognise, voice_of
from sepcli.separation.speakers.embedding import load_embed

RATE = 16_000
NUM_KNOWN, ENROLMENT_SECONDS = 10, 5.0
LEAST_SECONDS, MOST_SECONDS = 11.0, 60.0  # of a speaker's speech, enrolment included
POOLS = ("picovoice_s2i",)  # files of people without labels
PEOPLE = (2, 3, 4)
LIKENESSES = np.arange(0.60, 0.91, 0.02)
NUM_DRAWS = 2000  # how often twenty people are drawn of all for pieces
PIECE_SECONDS = 20.0


@dataclass(frozen=True)
class Heard:
    """One conversation, as it was understood.

    Attributes:
        scene: Who was found.
        people: Who speaks, in order of the truth.
        who: For each of them, whom of the scene it is; None of who was not found.
    """

    scene: Scene
    people: tuple[str, ...]
    who: tuple[int | None, ...]


def find_speech(manifest: Path, split: str) -> dict[str, list[Path]]:
    """Return the recordings of all speakers of a split who have enough of them."""
    found, seconds = defaultdict(list), defaultdict(float)
    with manifest.open() as file:
        for row in sorted(csv.DictReader(file), key=lambda row: row["path"]):
            name = f"{row['corpus']}-{row['speaker']}"
            if row["split"] != split or row["corpus"] in POOLS or seconds[name] > MOST_SECONDS:
                continue
            found[name].append(manifest.parent / row["path"])
            seconds[name] += float(row["seconds"])
    return {name: paths for name, paths in found.items() if seconds[name] >= LEAST_SECONDS}


def write_speech(folder: Path, speech: Mapping[str, list[Path]], seed: int) -> None:
    """Write `voices/`, of people who are known, and what conversations are made of."""
    names = np.random.default_rng(seed).permutation(sorted(speech))
    border = round(ENROLMENT_SECONDS * RATE)
    (folder / "voices").mkdir(parents=True)
    for number, name in enumerate(names[: 2 * NUM_KNOWN]):
        kind = "known" if number < NUM_KNOWN else "strangers"
        waveform = np.concatenate([soundfile.read(path)[0] for path in speech[name]])
        if kind == "known":
            soundfile.write(folder / "voices" / f"{name}.wav", waveform[:border], RATE)
        rest = folder / "speech" / kind / name
        rest.mkdir(parents=True)
        for start in range(border, len(waveform) - border // 2, border):
            soundfile.write(rest / f"{start}.wav", waveform[start : start + border], RATE)


def make_conversations(
    folder: Path, kind: str, count: int, seconds: float, seed: int
) -> list[Path]:
    """Return the folders of conversations of 2, 3 and 4 people of a kind."""
    made = []
    for num_people in PEOPLE:
        made.append(folder / f"{kind}-{num_people}")
        command = ["mix", folder / "speech" / kind, "-o", made[-1], "-n", count, "-q"]
        command += ["--speakers", num_people, "--style", "conversation", "--sample-rate", RATE]
        command += ["--overlap-ratio", 0.2, "--pause-seconds", 2, "--max-seconds", seconds]
        run_sepcli([*command, "--seed", seed, "--overwrite"])
    return made


def listen(separator: Separator, folder: Path) -> Iterator[Heard]:
    """Yield what is understood of each conversation of a folder."""
    truth = read_truth(folder / "turns.rttm")
    with (folder / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        path = folder / row["mix_clean"]
        spool = Spool(separator.entry.speakers)
        with AudioReader(path) as reader:
            recording = Recording(reader, separator.pipeline.plan, spool)
        for _, failure in separator.pipeline.process([recording]):
            if failure is not None:
                raise failure
        scene = recording.scene(recording.solve())
        spool.close()
        people = tuple(Path(name).name for name in row["speakers"].split("|"))
        yield Heard(scene, people, match(truth[path.stem], scene, len(people)))


def match(truth: list[Turn], scene: Scene, num_people: int) -> tuple[int | None, ...]:
    """Return for each person of the truth whom of the scene they most likely are."""
    shared = np.zeros((num_people, scene.num_people))
    for one in truth:
        for other in scene.turns:
            stop = min(one.stop_seconds, other.stop_seconds)
            shared[one.speaker, other.speaker] += max(
                0.0, stop - max(one.start_seconds, other.start_seconds)
            )
    found: list[int | None] = [None] * num_people
    for person, other in zip(*linear_sum_assignment(shared, maximize=True), strict=True):
        found[person] = int(other) if shared[person, other] > 0 else None
    return tuple(found)


def names(heard: list[Heard], voices: KnownVoices) -> Iterator[tuple[str, str | None]]:
    """Yield each person who speaks, and what they are called."""
    for each in heard:
        found = recognise(each.scene.voices, voices)
        for person, who in zip(each.people, each.who, strict=True):
            yield person, None if who is None else found[who].name


def shares(
    known: list[Heard], strangers: list[Heard], voices: KnownVoices, least: float
) -> tuple[float, ...]:
    """Return the shares of people named, mistaken, and of strangers called nobody."""
    asked = replace(voices, min_likeness=least)
    called, unknown = list(names(known, asked)), list(names(strangers, asked))
    named = np.mean([person == name for person, name in called])
    mistaken = np.mean([name not in (None, person) for person, name in called + unknown])
    return float(named), float(mistaken), float(np.mean([name is None for _, name in unknown]))


def measure_pieces(speech: Mapping[str, list[Path]], embed: Embed, seed: int) -> np.ndarray:
    """Return the shares of people named, mistaken, and of strangers called nobody, in pieces."""
    random = np.random.default_rng(seed)
    border, stop = (round(RATE * s) for s in (ENROLMENT_SECONDS, ENROLMENT_SECONDS + PIECE_SECONDS))
    given, heard = [], []
    for name in sorted(speech):
        waveform = np.concatenate(
            [soundfile.read(path, dtype="float32")[0] for path in speech[name]]
        )
        given.append(voice_of(waveform[:border], RATE, embed))
        heard.append(voice_of(waveform[border:stop], RATE, embed))
    likeness = np.stack(heard) @ np.stack(given).T
    likest, is_right, of_strangers = [], [], []
    for _ in range(NUM_DRAWS):
        drawn = random.permutation(len(likeness))[: 2 * NUM_KNOWN]
        known, strangers = drawn[:NUM_KNOWN], drawn[NUM_KNOWN:]
        own = likeness[np.ix_(known, known)]
        likest.append(own.max(axis=1))
        is_right.append(own.argmax(axis=1) == np.arange(NUM_KNOWN))
        of_strangers.append(likeness[np.ix_(strangers, known)].max(axis=1))
    own, right, others = (np.concatenate(each) for each in (likest, is_right, of_strangers))
    return np.array(
        [
            (
                np.mean((own > least) & right),
                np.mean(np.concatenate([(own > least) & ~right, others > least])),
                np.mean(others <= least),
            )
            for least in LIKENESSES
        ]
    )


def print_table(rows: np.ndarray) -> None:
    """Print a row a likeness."""
    print("| likeness | named | mistaken | strangers called nobody |\n" + "|---" * 4 + "|")
    for likeness, row in zip(LIKENESSES, rows, strict=True):
        print(f"| {likeness:.2f} | " + " | ".join(f"{100 * each:.0f} %" for each in row) + " |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, default=Path("../shared/speech/manifest.csv"))
    parser.add_argument("--split", default="dev")
    parser.add_argument("--work", type=Path, default=Path("runs/names"))
    parser.add_argument("--draws", type=int, default=3, help="how often ten people are drawn")
    parser.add_argument("--count", type=int, default=1, help="conversations a number of people")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--voices", default="builtin")
    parser.add_argument("--pieces", action="store_true", help="separate nothing")
    arguments = parser.parse_args()
    speech = find_speech(arguments.speech, arguments.split)
    if arguments.pieces:
        print_table(measure_pieces(speech, load_embed(arguments.voices), arguments.seed))
        return
    totals = []
    for draw in range(arguments.seed, arguments.seed + arguments.draws):
        folder = arguments.work / f"{arguments.split}-{arguments.seconds:g}-{draw}"
        if not folder.exists():
            write_speech(folder, speech, draw)
        voices = {path.stem: path for path in sorted((folder / "voices").iterdir())}
        heard: dict[str, list[Heard]] = {"known": [], "strangers": []}
        for kind, found in heard.items():
            sets = make_conversations(folder, kind, arguments.count, arguments.seconds, draw)
            for num_people, made in zip(PEOPLE, sets, strict=True):
                options = SeparationOptions(
                    people=num_people, known=voices, voices=arguments.voices, device="cpu"
                )
                separator = Separator.from_pretrained(arguments.model, options=options)
                found += listen(separator, made)
        known = separator.pipeline.plan.known
        totals.append([shares(heard["known"], heard["strangers"], known, x) for x in LIKENESSES])
    print_table(np.mean(totals, axis=0))


if __name__ == "__main__":
    main()
