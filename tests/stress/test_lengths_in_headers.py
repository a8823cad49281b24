"""Fuzz the lengths in headers: no second of a recording may be lost, or made up, without a word.

    pytest tests/stress/test_lengths_in_headers.py -m slow

Each file is made from an intact one whose samples are known. One or two of the fields that say how
long it is get another number. Then either all samples are read, or a warning or an error says so.
"""

import io
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.audio import AudioReader, ogg
from sepcli.errors import SepcliError
from tests.audio.test_whole import frames_of
from tests.stress.damage import tone

NUM_FILES = 2000
RATE = 16_000
NUM_SAMPLES = 60_000
# what a decoder may hold back; what the last page of an Ogg file may rightly trim of itself
MOST_LOST = {"MP3": 2 * 576, "OGG": RATE}
FILLING = 1  # a byte less than there is may be right, and the last one filling
KINDS = (
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "ULAW"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "GSM610"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AIFF", "FLOAT"),
    ("CAF", "PCM_16"),
    ("AU", "PCM_16"),
    ("AU", "ULAW"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("MP3", "MPEG_LAYER_III"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
)
Field = tuple[int, str]  # where, and how it is written


def intact(format: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone(NUM_SAMPLES), RATE, format=format, subtype=subtype)
    return file.getvalue()


def fields_of(format: str, data: bytes) -> list[Field]:
    """Return every field of a file that says how long it is."""
    place = data.find
    if format == "WAV":
        fact = [(place(b"fact") + 8, "<I")] if b"fact" in data[:100] else []
        return [(4, "<I"), (place(b"data") + 4, "<I"), *fact]
    if format == "RF64":
        return [(20, "<Q"), (28, "<Q"), (36, "<Q"), (4, "<I"), (place(b"data") + 4, "<I")]
    if format == "W64":
        return [(16, "<Q"), (place(b"data\xf3\xac\xd3\x11") + 16, "<Q")]
    if format == "AIFF":
        return [(4, ">I"), (place(b"COMM") + 10, ">I"), (place(b"SSND") + 4, ">I")]
    if format == "CAF":
        return [(place(b"data") + 4, ">Q")]
    if format == "AU":
        return [(8, ">I")]
    if format == "FLAC":
        return [(22, ">I")]  # the lower 32 bits of 36
    if format == "MP3":
        tag = max(place(b"Xing"), place(b"Info"))
        return [(tag + 8, ">I"), (tag + 12, ">I")]
    ((link,), _) = ogg.find_links(io.BytesIO(data), len(data))
    return [(link.last.start + 6, "<q")]


def with_other_lengths(format: str, data: bytes, chance: random.Random) -> bytes:
    """Return the file with one or two of its lengths changed."""
    changed = bytearray(data)
    fields = fields_of(format, data)
    for place, code in chance.sample(fields, min(len(fields), chance.choice((1, 1, 2)))):
        (length,) = struct.unpack_from(code, data, place)
        largest = (1 << 8 * struct.calcsize(code) - (code[1] == "q")) - 1
        choices = (0, 1, length // 2, length - 1, length + 1, 2 * length, 0x7FFFFFFF, 0xFFFFFFFF)
        number = chance.choice((*choices, largest, chance.randrange(length + 1), length & 0xFFFF))
        struct.pack_into(code, changed, place, min(number, largest))
    if format == "OGG":
        ((link,), _) = ogg.find_links(io.BytesIO(data), len(data))
        page = slice(link.last.start, link.last.stop)
        struct.pack_into("<I", changed, link.last.start + 22, 0)
        checksum = ogg.checksum(changed[page])
        struct.pack_into("<I", changed, link.last.start + 22, checksum)
    return bytes(changed)


def read(path: Path) -> tuple[int, bool]:
    """Return how many samples are read, and whether something is said."""
    try:
        with AudioReader(path) as reader:
            return sum(map(len, reader.blocks())), bool(reader.warnings)
    except SepcliError:
        return 0, True


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_second_is_lost_or_made_up_without_a_word(tmp_path: Path) -> None:
    originals = [(format, intact(format, subtype)) for format, subtype in KINDS]
    path = tmp_path / "x"
    wrong, told = [], 0
    for index in range(NUM_FILES):
        chance = random.Random(index)
        format, data = originals[index % len(originals)]
        path.write_bytes(with_other_lengths(format, data, chance))
        num_samples, is_told = read(path)
        told += is_told
        most = MOST_LOST.get(format, FILLING)
        if not is_told and not -most <= num_samples - NUM_SAMPLES <= most + 1024:
            wrong.append((index, KINDS[index % len(KINDS)], num_samples))
    assert wrong == [], wrong
    assert NUM_FILES // 20 < told < NUM_FILES // 2  # it is not that everything is complained of


def test_the_fields_are_where_they_are_looked_for() -> None:
    for format, subtype in KINDS:
        data = intact(format, subtype)
        for place, code in fields_of(format, data):
            (number,) = struct.unpack_from(code, data, place)
            assert number > 0 or format == "RF64", (format, subtype, place)
    (stream,) = frames_of(intact("MP3", "MPEG_LAYER_III"))
    place, code = fields_of("MP3", intact("MP3", "MPEG_LAYER_III"))[0]
    assert struct.unpack_from(code, intact("MP3", "MPEG_LAYER_III"), place)[0] == stream.num_frames
    assert np.abs(tone(NUM_SAMPLES)).max() < 1
