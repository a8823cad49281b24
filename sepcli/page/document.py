"""Recordings → one HTML file that needs nothing else and asks for nothing.

Whatever names and remarks hold is text there: it is escaped, and the page's own policy lets no
other script run than its own and nothing be fetched.
"""

import base64
import hashlib
import json
import os
from html import escape
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from sepcli.files import PendingFile, printable
from sepcli.page.png import SHADES, png
from sepcli.page.preview import Preview, preview_of
from sepcli.page.spectrogram import Shades, shades, without_empty_top
from sepcli.page.talk import Talk, Track

MOST_SOUND_BYTES = 24_000_000  # of one recording: an hour of two people, or more
MOST_PAGE_BYTES = 400_000_000  # from where on recordings come without sound: browsers give up
MOST_TURNS = 20_000  # of one recording
GREY = (128, 128, 128)
COLOURS = (
    *((58, 122, 222), (222, 110, 20), (30, 150, 95), (190, 70, 170)),
    *((15, 148, 164), (208, 66, 82), (138, 132, 30), (120, 90, 205)),
)
HERE = Path(__file__).parent


class Page:
    """A page under way; a context manager that removes what was not published.

    Args:
        path: Its final name; the folder must exist.
        overwrite: Whether a file of that name is replaced.

    Raises:
        OutputError: The folder does not take the file.
    """

    def __init__(self, path: Path, overwrite: bool) -> None:
        self.path = path
        self._num_talks = self._num_bytes = 0
        self._file = PendingFile(path, overwrite)
        self._write(_head())

    def add(self, talk: Talk) -> None:
        """Add a recording.

        Raises:
            AudioError: A waveform of it cannot be read; the page is as before.
            OutputError: The page cannot be written.
        """
        most = 0 if self._num_bytes >= MOST_PAGE_BYTES else MOST_SOUND_BYTES // len(talk.tracks)
        previews = [preview_of(track, talk.seconds, most) for track in talk.tracks]
        self._num_talks += 1
        self._write(_section(self._num_talks, talk, previews, self.path.absolute().parent))

    def add_missed(self, title: str, why: str) -> None:
        """Add a line on a recording that is not shown, and why.

        Raises:
            OutputError: The page cannot be written.
        """
        self._write(f'<p class="missed"><b>{_text(title)}</b>: {_text(why)}</p>\n')

    def publish(self) -> None:
        """Finish the page and give it its name.

        Raises:
            OutputError: It cannot be written, or a file is there and may not be replaced.
        """
        self._write(f"</main>\n<script>{_own('page.js')}</script>\n</body>\n</html>\n")
        self._file.close()
        self._file.check()
        self._file.publish()

    def _write(self, text: str) -> None:
        content = text.encode()
        self._num_bytes += len(content)
        self._file.write(content)
        self._file.check()

    def __enter__(self) -> Self:
        """Return the page itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was not published."""
        self._file.discard()


def _own(name: str) -> str:
    return (HERE / name).read_text("utf-8")


def _head() -> str:
    """Return all that comes before the recordings."""
    style, script = _own("page.css"), _own("page.js")
    policy = (
        "default-src 'none'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Who speaks when</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n"
        "<h1>Who speaks when</h1>\n"
        '<p class="help">Click a spectrogram or a turn to hear it from there. Choose another '
        "speaker, and the same place plays on. Hatched: it is not sure who is who.</p>\n"
        "<noscript><p>Playing needs JavaScript; the links lead to the files.</p></noscript>\n"
        '<nav aria-label="Recordings" hidden><ul></ul></nav>\n'
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _section(number: int, talk: Talk, previews: list[Preview], folder: Path) -> str:
    """Return the part of the page on one recording."""
    loudest = max(float(preview.power.max()) for preview in previews)
    pictures = without_empty_top([shades(each.power, loudest, SHADES) for each in previews])
    rows = "".join(
        _row(track, preview.sound, picture, folder, talk)
        for track, preview, picture in zip(talk.tracks, previews, pictures, strict=True)
    )
    num_speakers = sum(track.speaker is not None for track in talk.tracks)
    title = Path(printable(talk.title)).name
    return (
        f'<section class="talk" id="talk-{number}" aria-labelledby="title-{number}">\n'
        f'<h2 id="title-{number}" title="{_text(talk.title)}">{_text(title)}</h2>\n'
        f'<p class="facts">{_clock(talk.seconds)}, {_count(num_speakers, "speaker")}, '
        f"{_count(len(talk.turns), 'turn')}</p>\n"
        f"{_remarks(talk)}\n"
        '<div class="controls" hidden><button type="button" class="play">Play</button>'
        f'<input type="range" class="position" min="0" max="{talk.seconds:.2f}" step="0.01" '
        'value="0" aria-label="Position"><output class="clock"></output>'
        '<label>Zoom <select class="zoom"></select></label></div>\n'
        '<p class="status" role="status"></p>\n'
        '<div class="timeline"><div class="wide">\n'
        '<div class="doubts" role="group" aria-label="Where it is not sure who is who"></div>\n'
        f'{rows}<div class="axis" aria-hidden="true"></div>\n'
        '<div class="cursor" aria-hidden="true"></div>\n</div></div>\n'
        f'<script type="application/json" class="data">{_json(_data(talk, previews))}</script>\n'
        "</section>\n"
    )


def _remarks(talk: Talk) -> str:
    """Return what else there is to know of a recording, as a list; empty where there is nothing."""
    lines = list(talk.remarks)
    if len(talk.turns) > MOST_TURNS:
        lines.append(f"only the first {MOST_TURNS} turns are marked")
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f'<ul class="remarks">{items}</ul>' if items else ""


def _row(track: Track, heard: bytes, shown: Shades, folder: Path, talk: Talk) -> str:
    """Return the row of one waveform: its sound, and its picture from low frequencies to high."""
    is_speaker = track.speaker is not None
    place = (track.speaker or 0) % len(COLOURS)
    picture = _data_url("image/png", png(shown[::-1], COLOURS[place] if is_speaker else GREY))
    name, colour = _text(track.name), f"colour-{place}" if is_speaker else "grey"
    spoken = sum(turn.seconds for turn in talk.turns if turn.speaker == track.speaker)
    share = f'<span class="share">speaks {_clock(spoken)}</span> ' if is_speaker else ""
    sound = ""
    if heard:
        url = _data_url("audio/ogg", heard)
        sound = f'<audio preload="none" src="{url}"></audio>\n'
    return (
        f'<div class="track {colour}">\n'
        f'<div class="name"><button type="button" class="choose" aria-pressed="false">{name}'
        f'</button> {share}<a href="{_link(track.path, folder)}">file</a></div>\n'
        f'<div class="view"><img src="{picture}" alt="Spectrogram of {name}"></div>\n'
        f'<div class="turns" role="group" aria-label="Turns of {name}"></div>\n{sound}</div>\n'
    )


def _data(talk: Talk, previews: list[Preview]) -> dict[str, Any]:
    """Return what the script of the page is to know of a recording; times are seconds."""
    turns: dict[int | None, list[tuple[float, float]]] = {}
    for turn in talk.turns[:MOST_TURNS]:
        span = round(turn.start_seconds, 2), round(turn.stop_seconds, 2)
        turns.setdefault(turn.speaker, []).append(span)
    return {
        "seconds": round(talk.seconds, 2),
        "tracks": [
            {
                "name": printable(track.name),
                "turns": turns.get(track.speaker, ()),
                "heard": round(preview.sound_seconds, 2),
            }
            for track, preview in zip(talk.tracks, previews, strict=True)
        ],
        "uncertain": [
            (round(place.start_seconds, 2), round(place.stop_seconds, 2), round(place.margin, 2))
            for place in talk.uncertain[:MOST_TURNS]
        ],
    }


def _json(data: dict[str, Any]) -> str:
    """Return JSON that ends no element of HTML."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _text(text: str) -> str:
    return escape(printable(text))


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _link(path: Path, folder: Path) -> str:
    """Return the address of a file as seen from the page, so that both can be moved together."""
    try:
        return quote(os.fsencode(Path(os.path.relpath(path.absolute(), folder)).as_posix()))
    except ValueError:  # another drive of Windows
        return path.absolute().as_uri()


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _clock(seconds: float) -> str:
    """Return a time as `m:ss` or `h:mm:ss`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
