"""What options say in words of their own: sample rates, numbers of speakers, times."""

from typing import Literal

from sepcli.errors import UsageError
from sepcli.separation.jobs import MOST_SECONDS

MOST_DIGITS = 9  # of a number that is meant; Python reads no more than 4300


def _whole(text: str) -> int:
    """Return a whole number of some digits at most; -1 where it is none."""
    return int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else -1


def parse_rate(text: str) -> Literal["input", "model"] | int:
    """Return `input`, `model`, or a sample rate [Hz].

    Raises:
        UsageError: It is none of them.
    """
    if text == "input":
        return "input"
    if text == "model":
        return "model"
    if 1000 <= (rate := _whole(text)) <= 768_000:
        return rate
    raise UsageError(f"not a sample rate: {text}", "use input, model, or 1000 to 768000 Hz")


def parse_people(text: str) -> int | Literal["auto"] | None:
    """Return how many people speak; None where it is left to the model.

    Raises:
        UsageError: It is no number of people.
    """
    if text == "auto":
        return "auto"
    if not text:
        return None
    from sepcli.separation.speakers import MOST_PEOPLE

    if 1 <= (people := _whole(text)) <= MOST_PEOPLE:
        return people
    raise UsageError(
        f"not a number of speakers: {text}", f"use auto, or a number from 1 to {MOST_PEOPLE}"
    )


def parse_span(start: str, end: str) -> tuple[float | None, float | None]:
    """Return where to begin and to stop [s]; None for the recording's own ends.

    Raises:
        UsageError: One is not a time, or they are not in order.
    """
    begin, stop = parse_time(start), parse_time(end)
    if stop is not None and (begin or 0.0) >= stop:
        raise UsageError(f"--end is not after --start: {end}", "give a later --end")
    return begin, stop


def parse_time(text: str) -> float | None:
    """Return seconds from `12.5`, `3:20` or `1:02:03.5`; None for an empty text.

    Raises:
        UsageError: It is not a time.
    """
    if not text:
        return None
    seconds = 0.0
    try:
        for part in text.split(":"):
            if not part or part[0] in "+-" or text.count(":") > 2:
                raise ValueError
            seconds = 60 * seconds + float(part)
    except ValueError as cause:
        raise UsageError(
            f"not a time: {text}", "use seconds or h:mm:ss, as in 1:02:03.5"
        ) from cause
    if not seconds < MOST_SECONDS:
        raise UsageError(f"not a time: {text}", "use seconds or h:mm:ss, as in 1:02:03.5")
    return seconds


def parse_shard(text: str) -> tuple[int, int] | None:
    """Return `(index, count)` of a shard given as `I/N`; None for an empty text.

    Raises:
        UsageError: It is not `I/N` with 1 <= I <= N.
    """
    if not text:
        return None
    index, count = map(_whole, text.partition("/")[::2])
    if 1 <= index <= count:
        return index, count
    raise UsageError(
        f"not a shard: {text}", "use --shard I/N with I from 1 to N, as in --shard 3/8"
    )
