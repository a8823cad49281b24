"""Who speaks when as text, in the formats that other tools read; pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sepcli.separation.speakers.turns import Turn


@dataclass(frozen=True)
class Labels:
    """Who speaks when in one recording.

    Attributes:
        name: Of the recording, without folder and ending.
        seconds: Its length [s].
        names: Of the speakers.
        turns: In order of time.
    """

    name: str
    seconds: float
    names: Sequence[str]
    turns: Sequence[Turn]


def rttm(labels: Labels) -> str:
    """Return Rich Transcription Time Marks, a line a turn; blanks in names become underscores."""
    name = _word(labels.name)
    return "".join(
        f"SPEAKER {name} 1 {turn.start_seconds:.3f} {turn.seconds:.3f} <NA> <NA> "
        f"{_word(labels.names[turn.speaker])} <NA> <NA>\n"
        for turn in labels.turns
    )


def audacity(labels: Labels) -> str:
    """Return a label track of Audacity: start, end and speaker of each turn, tabs between."""
    return "".join(
        f"{turn.start_seconds:.6f}\t{turn.stop_seconds:.6f}\t{labels.names[turn.speaker]}\n"
        for turn in labels.turns
    )


def srt(labels: Labels) -> str:
    """Return SubRip subtitles that show who speaks."""
    return "\n".join(
        f"{number}\n{_srt_time(turn.start_seconds)} --> {_srt_time(turn.stop_seconds)}\n"
        f"[{labels.names[turn.speaker]}]\n"
        for number, turn in enumerate(labels.turns, 1)
    )


def textgrid(labels: Labels) -> str:
    """Return a TextGrid of Praat, a tier a speaker; an interval without text is silence."""
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {labels.seconds:.6f}",
        "tiers? <exists>",
        f"size = {len(labels.names)}",
        "item []:",
    ]
    for number, name in enumerate(labels.names):
        lines += [
            f"    item [{number + 1}]:",
            '        class = "IntervalTier"',
            f"        name = {_quoted(name)}",
            "        xmin = 0",
            f"        xmax = {labels.seconds:.6f}",
        ]
        intervals = _intervals(labels, number)
        lines.append(f"        intervals: size = {len(intervals)}")
        for place, (start, stop, text) in enumerate(intervals, 1):
            lines += [
                f"        intervals [{place}]:",
                f"            xmin = {start:.6f}",
                f"            xmax = {stop:.6f}",
                f"            text = {_quoted(text)}",
            ]
    return "\n".join(lines) + "\n"


WRITERS: Mapping[str, tuple[str, Callable[[Labels], str]]] = {
    "rttm": (".rttm", rttm),
    "audacity": (".txt", audacity),
    "textgrid": (".TextGrid", textgrid),
    "srt": (".srt", srt),
}


def _intervals(labels: Labels, speaker: int) -> list[tuple[float, float, str]]:
    """Return the intervals of a tier, which together cover the recording."""
    found: list[tuple[float, float, str]] = []
    now = 0.0
    for turn in (turn for turn in labels.turns if turn.speaker == speaker):
        if turn.start_seconds > now:
            found.append((now, turn.start_seconds, ""))
        now = turn.stop_seconds
        found.append((turn.start_seconds, now, labels.names[speaker]))
    if now < labels.seconds:
        found.append((now, labels.seconds, ""))
    return found


def _word(name: str) -> str:
    return "_".join(name.split()) or "_"


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _srt_time(seconds: float) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02},{milliseconds:03}"
