"""Who is in which file, and what files are called after; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sepcli.separation.naming import unknown_name
from sepcli.separation.plan import RecordingPlan
from sepcli.separation.speakers import Recognised, Scene, Turn, recognise

Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Cast:
    """The files of a recording, in order.

    Attributes:
        people: Who is in each.
        names: What they are called: after people who are recognised, else `spk1`, `spk2`, … by
            who speaks first.
        recognised: What is known of the one person in each; nothing of several, or of nobody.
    """

    people: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]
    recognised: tuple[Recognised, ...]

    def in_files(self, block: Array) -> Array:
        """Return waveforms `[files, samples]` of `[people, samples]`; of nobody, silence."""
        if [*self.people] == [(person,) for person in range(len(block))]:
            return block  # as they are
        files = np.zeros((len(self.people), block.shape[1]), np.float32)
        for file, people in zip(files, self.people, strict=True):
            for person in people:
                file += block[person]
        return files

    def others(self, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        """Return turns of people who have no file."""
        heard = {person for people in self.people for person in people}
        return tuple(turn for turn in turns if turn.speaker not in heard)

    def turns_in_files(self, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        """Return when there is speech in each file, in order of time.

        Turns in one file that touch are one.

        Args:
            turns: Those of people.
        """
        file_of = {person: file for file, people in enumerate(self.people) for person in people}
        found: list[Turn] = []
        last: dict[int, int] = {}  # where the last turn of each file stands
        for turn in sorted(turn for turn in turns if turn.speaker in file_of):
            file = file_of[turn.speaker]
            place = last.get(file)
            if place is not None and turn.start_seconds <= found[place].stop_seconds:
                stop = max(turn.stop_seconds, found[place].stop_seconds)
                found[place] = replace(found[place], stop_seconds=stop)
            else:
                last[file] = len(found)
                found.append(replace(turn, speaker=file))
        return tuple(sorted(found))


def cast_people(plan: RecordingPlan, scene: Scene) -> Cast:
    """Return who of a recording is in which file."""
    recognised = recognise(scene.voices, plan.known)
    if plan.only is not None:
        return cast_only(recognised, plan.only)
    return cast_everybody(recognised, plan.num_files(scene.num_people))


def cast_everybody(recognised: Sequence[Recognised], num_files: int) -> Cast:
    """Return files in which everybody is.

    Where there are fewer files than people, the last one holds all who are left, so nobody is lost.

    Args:
        recognised: What is known of each person; by who speaks first.
        num_files: How many files there are.
    """
    people: list[tuple[int, ...]] = [()] * num_files
    for person in range(len(recognised)):
        people[min(person, num_files - 1)] += (person,)
    alone = [recognised[who[0]] if len(who) == 1 else Recognised() for who in people]
    names = [each.name or unknown_name(number) for number, each in enumerate(alone, 1)]
    return Cast(tuple(people), tuple(names), tuple(alone))


def cast_only(recognised: Sequence[Recognised], name: str) -> Cast:
    """Return the one file of the person of that name; no file where they are not heard."""
    people = [k for k, each in enumerate(recognised) if each.name == name]
    found = tuple(recognised[k] for k in people)
    return Cast(tuple((k,) for k in people), (name,) * len(people), found)
