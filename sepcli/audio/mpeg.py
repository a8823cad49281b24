"""The frames of MPEG audio (MP1, MP2, MP3), counted: a file says how many it has, or nobody does.

Layout after ISO/IEC 11172-3 and 13818-3. An MP3 may begin with a frame that holds no sound but
numbers ("Xing", "Info" or "VBRI"): how many frames follow, and how many samples the encoder added.
Without one libsndfile guesses the length from the first frames, and reads no further. Files
that were joined have such a frame in the middle.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import IO

from sepcli.audio.view import Piece

WINDOW_BYTES = 1 << 20
# fmt: off
_V1_LAYER_1 = (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
_V1_LAYER_2 = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_V1_LAYER_3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V2_LAYER_1 = (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_V2_OTHERS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
# fmt: on
SAME_STREAM = 0xFFFE0C00  # of a header: sync word, version, layer, sample rate
BEST_BITRATE = 14 << 12
NO_CRC, PADDING = 1 << 16, 1 << 9
CANDIDATE = re.compile(rb"\xff[\xe0-\xff]|ID3|TAG|APETAGEX")
MONO = 3
XING = (b"Xing", b"Info")  # of variable and of constant bitrate
INFO_FRAMES, INFO_BYTES = 1, 2  # flags of such a frame: what it holds


@dataclass(frozen=True)
class Header:
    """What the four bytes before a frame say.

    Attributes:
        length: Bytes of the frame, these included.
        layer: 1, 2 or 3.
        num_samples: Samples per channel of the frame.
        side_bytes: Between the header and an Xing tag, in layer 3.
    """

    length: int
    layer: int
    num_samples: int
    side_bytes: int


@dataclass
class Stream:
    """Frames that belong together.

    Attributes:
        header: The first four bytes as a number.
        frame: What they say.
        info: The frame with the numbers; empty where there is none.
        declared: Frames by that one; None where it does not say.
        num_frames: Frames found, without that one.
        stretches: Where they are, start and stop [bytes].
    """

    header: int
    frame: Header
    info: bytes = b""
    declared: int | None = None
    num_frames: int = 0
    stretches: list[tuple[int, int]] = field(default_factory=list)

    def pieces(self) -> list[Piece]:
        """Return the stream with a true number of frames in front of it (layer 3 only)."""
        return [_counted(self), *self.stretches]


@lru_cache(256)
def parse_header(header: int) -> Header | None:
    """Return what four bytes say about a frame; None where they begin none."""
    version, layer = header >> 19 & 3, 4 - (header >> 17 & 3)
    bitrate_index, rate_index = header >> 12 & 15, header >> 10 & 3
    if header >> 21 != 0x7FF or version == 1 or layer == 4 or rate_index == 3:
        return None
    if bitrate_index in (0, 15):
        return None
    is_first = version == 3
    table = (
        (_V1_LAYER_1, _V1_LAYER_2, _V1_LAYER_3) if is_first else (_V2_LAYER_1, *[_V2_OTHERS] * 2)
    )
    bitrate = 1000 * table[layer - 1][bitrate_index - 1]
    rate = (44_100, 48_000, 32_000)[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    padding = header >> 9 & 1
    num_samples = 384 if layer == 1 else 1152 if layer == 2 or is_first else 576
    if layer == 1:
        length = 4 * (12 * bitrate // rate + padding)
    else:
        length = num_samples // 8 * bitrate // rate + padding
    is_mono = header >> 6 & 3 == MONO
    side_bytes = (17 if is_mono else 32) if is_first else (9 if is_mono else 17)
    return Header(length, layer, num_samples, side_bytes)


def scan(file: IO[bytes], size: int) -> tuple[list[Stream], int]:
    """Return the streams of a file, one after the other, and how many bytes are in none.

    Tags do not count, nor zeros.
    """
    streams: list[Stream] = []
    window = _Window(file, size)
    num_lost = 0
    for position, header, frame in _frames(window, size):
        if frame is None:
            num_lost += header
            continue
        is_info = _is_info(window, position, frame)
        if is_info or not streams or (header ^ streams[-1].header) & SAME_STREAM:
            streams.append(Stream(header, frame))
        stream = streams[-1]
        if is_info:
            stream.info = window.at(position, frame.length)
            stream.declared = _declared(stream.info, frame)
            continue
        stream.num_frames += 1
        stop = position + frame.length
        if stream.stretches and stream.stretches[-1][1] == position:
            stream.stretches[-1] = (stream.stretches[-1][0], stop)
        else:
            stream.stretches.append((position, stop))
    return [stream for stream in streams if stream.num_frames], num_lost


class _Window:
    """Bytes of a file, read in large pieces as a position moves on."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size
        self._start, self._data = 0, b""

    def at(self, position: int, num_bytes: int) -> bytes:
        """Return the bytes there; fewer at the end."""
        begin = position - self._start
        if begin < 0 or begin + num_bytes > len(self._data):
            self._file.seek(position)
            self._start, begin = position, 0
            self._data = self._file.read(max(WINDOW_BYTES, num_bytes))
        return self._data[begin : begin + num_bytes]

    def find_candidate(self, position: int) -> int:
        """Return where a frame or a tag may begin next; the file's size where none does."""
        while position < self._size:
            piece = self.at(position, min(WINDOW_BYTES, self._size - position))
            if found := CANDIDATE.search(piece):
                return position + found.start()
            if len(piece) < 4:
                break
            position += len(piece) - 3
        return self._size


def _frames(window: _Window, size: int) -> Iterator[tuple[int, int, Header | None]]:
    """Yield position, first four bytes and header of every frame.

    Between frames come the bytes that belong to none: position, how many, and None.
    """
    position, current = 0, 0
    while position + 4 <= size:
        header = int.from_bytes(window.at(position, 4), "big")
        frame = parse_header(header)
        stop = position + frame.length if frame else size + 1
        is_expected = not (header ^ current) & SAME_STREAM
        if frame and stop <= size and (is_expected or _next_agrees(window, stop, header, size)):
            current = header
            yield position, header, frame
            position = stop
        elif tag := _tag_length(window, position):
            position += tag
        else:
            stop = window.find_candidate(position + 1)
            skipped = window.at(position, min(WINDOW_BYTES, stop - position))
            yield position, stop - position - skipped.count(0), None
            position = stop


def _next_agrees(window: _Window, position: int, header: int, size: int) -> bool:
    """Return whether another frame of the same stream, a tag, or the end follows."""
    following = int.from_bytes(window.at(position, 4), "big")
    is_same = following & SAME_STREAM == header & SAME_STREAM
    return position >= size or (is_same and parse_header(following) is not None)


def _tag_length(window: _Window, position: int) -> int:
    """Return the bytes of an ID3 or APE tag; 0 where none begins."""
    head = window.at(position, 32)
    if length := id3_length(head):
        return length
    if head[:3] == b"TAG":
        return 128
    if head[:8] == b"APETAGEX" and len(head) >= 24:
        flags: int = struct.unpack_from("<I", head, 20)[0]
        length = struct.unpack_from("<I", head, 12)[0]
        return length + 32 if flags & 1 << 29 else 32  # the length leaves the head out
    return 0


def id3_length(head: bytes) -> int:
    """Return the bytes of the ID3 tag whose first ten these are; 0 where they begin none."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    length = 0
    for byte in head[6:10]:  # the last 7 bits of each
        length = length << 7 | byte & 0x7F
    return 10 + length + (10 if head[5] & 0x10 else 0)  # after it may come its head once more


def _is_info(window: _Window, position: int, frame: Header) -> bool:
    """Return whether a frame holds numbers in place of sound."""
    if frame.layer != 3:
        return False
    name = window.at(position + 4 + frame.side_bytes, 4)
    return name in XING or window.at(position + 36, 4) == b"VBRI"


def _declared(info: bytes, frame: Header) -> int | None:
    """Return how many frames follow by their own account."""
    tag = info[4 + frame.side_bytes :]
    if tag[:4] in XING:
        flags, number = struct.unpack_from(">2I", tag.ljust(12, b"\0"), 4)
        return int(number) if flags & INFO_FRAMES else None
    return int.from_bytes(info[50:54], "big")


def _counted(stream: Stream) -> bytes:
    """Return an info frame with the true numbers: the stream's own, or a new one."""
    tag = 4 + stream.frame.side_bytes
    info = bytearray(stream.info)
    flags = int.from_bytes(info[tag + 4 : tag + 8], "big")
    is_whole = len(info) >= tag + 16 and bytes(info[tag : tag + 4]) in XING
    if not is_whole or not flags & INFO_FRAMES:
        header = (stream.header | BEST_BITRATE | NO_CRC) & ~(1 << 12) & ~PADDING
        best = parse_header(header)
        assert best is not None
        info = bytearray(best.length)
        info[:4] = header.to_bytes(4, "big")
        info[tag : tag + 8] = b"Xing" + INFO_FRAMES.to_bytes(4, "big")
        flags = INFO_FRAMES
    struct.pack_into(">I", info, tag + 8, stream.num_frames)
    if flags & INFO_BYTES:
        num_bytes = len(info) + sum(stop - start for start, stop in stream.stretches)
        struct.pack_into(">I", info, tag + 12, min(num_bytes, 0xFFFFFFFF))
    return bytes(info)
