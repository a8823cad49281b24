"""Who is on which channel of a recording, as its metadata say it; pure."""

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

from sepcli.files.temporary import printable

_BEFORE, _BETWEEN = "channels: ", ", "


def comment(names: Sequence[str]) -> str:
    """Return what a comment says of channels: their names in order, commas in them escaped."""
    return _BEFORE + _BETWEEN.join(printable(name).replace(",", r"\,") for name in names)


def names_in(comment: str, num_channels: int) -> tuple[str, ...]:
    """Return the names of `num_channels` channels in a comment; empty if it has no such list."""
    parts = re.split(r"(?<!\\)" + _BETWEEN, comment.removeprefix(_BEFORE))
    names = tuple(part.replace(r"\,", ",") for part in parts)
    is_ours = comment.startswith(_BEFORE) and len(names) == num_channels
    return names if is_ours else ()


def ixml(names: Sequence[str]) -> str:
    """Return the iXML document that recorders and editors read the names of tracks from.

    Source: iXML specification 3.01, TRACK_LIST.
    """
    tracks = "".join(
        f"<TRACK><CHANNEL_INDEX>{number}</CHANNEL_INDEX>"
        f"<INTERLEAVE_INDEX>{number}</INTERLEAVE_INDEX><NAME>{escape(printable(name))}</NAME></TRACK>"
        for number, name in enumerate(names, 1)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><BWFXML><IXML_VERSION>1.5</IXML_VERSION>'
        f"<TRACK_LIST><TRACK_COUNT>{len(names)}</TRACK_COUNT>{tracks}</TRACK_LIST></BWFXML>"
    )
