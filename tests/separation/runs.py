"""Runs over files with networks whose answers are known, in both modes of composing."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sepcli.separation.batch import separate_jobs
from sepcli.separation.inputs import plan_jobs
from sepcli.separation.jobs import Job
from sepcli.separation.naming import Naming
from sepcli.separation.outcome import Outcome
from sepcli.separation.plan import OutsideOverlap
from sepcli.separation.separator import SeparationOptions, Separator
from sepcli.separation.speakers import MOST_PEOPLE
from sepcli.separation.writing import OutputOptions
from tests.doubles import (
    RATE,
    BandSplit,
    Identity,
    conversation,
    entry,
    hear_bands,
    two_voices,
)
from tests.separation.options import AS_SEPARATED

# files that are the estimates, and the default: the recording itself where one speaks alone
MODES: dict[str, dict[str, object]] = {"separated": dict(AS_SEPARATED), "original": {"people": 2}}
both_modes = pytest.mark.parametrize("mode", MODES)


def write_mixture(path: Path, seconds: float = 2.5, seed: int = 0, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, two_voices(seconds, seed, rate).sum(axis=0), rate)
    return path


def write_talk(path: Path, rate: int = RATE) -> Path:
    """Write 8 s in which two people take turns, so that each mode has something to do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, conversation("0202", 2.0), rate)
    return path


def tone(peak: float, num_samples: int) -> np.ndarray:
    """Return a tone of an eighth of the rate, which meets its peak exactly."""
    return peak * np.sin(2 * np.pi / 8 * np.arange(num_samples))


def jobs_of(folder: Path, out: Path) -> list[Job]:
    naming = Naming(folder=out, extension="wav")
    return plan_jobs([str(folder)], naming, recursive=True)[0]


def run(
    network: torch.nn.Module,
    jobs: list[Job],
    options: OutputOptions | None = None,
    batch: int = 1,
    mode: str = "separated",
    **changes: object,
) -> list[Outcome]:
    choices: dict[str, object] = {"batch_size": batch, "device": "cpu", **MODES[mode], **changes}
    chosen = SeparationOptions(**choices)  # type: ignore[arg-type]
    separator = Separator(network, entry(level="as-is"), chosen, embed=hear_bands)
    return list(separate_jobs(separator.pipeline, jobs, options or OutputOptions()))


def run_counting(
    folder: Path,
    mixture: np.ndarray,
    options: OutputOptions | None = None,
    people: int | str = "auto",
    shares: tuple[float, float] = (0.5, 0.5),
    outside_overlap: OutsideOverlap = "original",
) -> Outcome:
    """Separate a conversation, `a.wav`, into as many files as there are people."""
    (folder / "in").mkdir(exist_ok=True)
    soundfile.write(folder / "in/a.wav", mixture, RATE, "FLOAT")
    os.utime(folder / "in/a.wav", (0, 0))  # so that it is the same one the next time
    naming = Naming(
        folder=folder / "out",
        extension="wav",
        num_speakers=people if isinstance(people, int) else MOST_PEOPLE,
        is_counted=people == "auto",
    )
    jobs, _ = plan_jobs([str(folder / "in/a.wav")], naming, recursive=False)
    separator = Separator(
        Identity(shares),
        entry(level="as-is"),
        SeparationOptions(device="cpu", people=people, outside_overlap=outside_overlap),  # type: ignore[arg-type]
        embed=hear_bands,
    )
    (outcome,) = separate_jobs(separator.pipeline, jobs, options or OutputOptions())
    return outcome


def run_knowing(
    folder: Path,
    talks: Mapping[str, str],
    voices: Mapping[str, str],
    options: OutputOptions | None = None,
    people: int | str | None = "auto",
    only: str | None = None,
    labels: tuple[str, ...] = (),
) -> list[Outcome]:
    """Separate conversations by people some of whose voices are known.

    Args:
        folder: Where `in/` and `out/` are.
        talks: Who speaks in each, one after the other, by name of the recording.
        voices: Which person has each name.
        options: How outputs are written.
        people: How many there are.
        only: Who alone is wanted.
        labels: Endings of files that say who speaks when.
    """
    for name, talk in talks.items():
        write_once(folder / f"in/{name}.wav", conversation(talk, 4.0))
    known = {
        name: write_once(folder / f"voices/{name}.wav", conversation(person, 3.0))
        for name, person in voices.items()
    }
    naming = Naming(
        folder=folder / "out",
        extension="wav",
        num_speakers=people if isinstance(people, int) else MOST_PEOPLE,
        is_counted=people == "auto",
        labels=labels,
        names=tuple(known),
        only=only,
    )
    jobs, failures = plan_jobs([str(folder / f"in/{talk}.wav") for talk in talks], naming,
                               recursive=False)  # fmt: skip
    assert failures == []
    chosen = SeparationOptions(device="cpu", people=people, known=known, only=only)  # type: ignore[arg-type]
    separator = Separator(Identity((0.5, 0.5)), entry(level="as-is"), chosen, embed=hear_bands)
    return list(separate_jobs(separator.pipeline, jobs, options or OutputOptions()))


def write_once(path: Path, waveform: np.ndarray) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, waveform, RATE, "FLOAT")
    return path


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


STOP = 0.75  # a sample that stands for a user who presses Ctrl-C while its chunk is run


def write_stopping(path: Path) -> None:
    """Write 20 s whose sixth chunk, at 3.3 s, is the first that stops `Stopping`."""
    mixture = conversation("02020202", 2.5)
    mixture[round(3.3 * RATE)] = STOP
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, mixture, RATE)


def refuse_to_go_on(mixture: torch.Tensor) -> None:
    if mixture.max() > STOP - 0.01:
        raise KeyboardInterrupt


class Stopping(BandSplit):
    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        refuse_to_go_on(mixture)
        return super().forward(mixture)


class Seeded(BandSplit):
    """Order and level depend on the chunk alone, as with a real network."""

    def generator(self, mixture: torch.Tensor) -> np.random.Generator:
        return np.random.default_rng(int(mixture.abs().sum() * 1e6))


class StoppingSeeded(Seeded):
    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        refuse_to_go_on(mixture)
        return super().forward(mixture)
