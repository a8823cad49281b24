"""Damaged recordings, each made from a small generated one by mutations from a seed."""

import io
import random
import struct
from collections.abc import Callable

import numpy as np
import soundfile

SEED_RATE, SEED_SAMPLES = 16_000, 9000
SEED_FORMATS = (
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAV", "ULAW"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "MS_ADPCM"),
    ("WAV", "GSM610"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AIFF", "FLOAT"),
    ("CAF", "PCM_16"),
    ("CAF", "ALAC_16"),
    ("AU", "PCM_16"),
    ("VOC", "PCM_16"),
    ("NIST", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
)
WORDS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def tone(num_samples: int, rate: int = SEED_RATE) -> np.ndarray:
    """Return a rising tone with noise and pauses, `[samples]`."""
    generator = np.random.default_rng(20)
    time_axis = np.arange(num_samples) / rate
    signal = 0.4 * np.sin(2 * np.pi * (200 + 900 * time_axis) * time_axis)
    signal *= np.sin(2 * np.pi * 5 * time_axis) > -0.5
    return signal + 0.02 * generator.standard_normal(num_samples)


def seed_corpus() -> list[bytes]:
    """Return small recordings in many formats."""
    signal = tone(SEED_SAMPLES)
    corpus = []
    for container, subtype in SEED_FORMATS:
        for num_channels in (1, 2):
            if subtype == "GSM610" and num_channels == 2:
                continue
            file = io.BytesIO()
            samples = np.stack([signal, signal[::-1]][:num_channels], axis=1)
            soundfile.write(file, samples, SEED_RATE, format=container, subtype=subtype)
            corpus.append(file.getvalue())
    streamed = bytearray(corpus[0])  # as a program leaves it that writes to a pipe
    streamed[4:8] = streamed[40:44] = bytes(4)
    return [*corpus, bytes(streamed)]


def mutated(corpus: list[bytes], index: int) -> bytes:
    """Return damaged file number `index`; the same one for ever."""
    chance = random.Random(index)
    data = bytearray(corpus[index % len(corpus)])
    for _ in range(chance.choice((1, 1, 2, 4))):
        chance.choice(MUTATIONS)(data, chance, corpus)
    return bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    """Return a position, half of the time in the header."""
    end = len(data) if chance.random() < 0.5 else min(len(data), 120)
    return chance.randrange(end) if end else 0


def _flip_bits(data: bytearray, chance: random.Random, corpus: list[bytes]) -> None:
    for _ in range(chance.choice((1, 3, 30))):
        if data:
            data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, chance: random.Random, corpus: list[bytes]) -> None:
    start, length = _place(data, chance), chance.choice((1, 4, 64, 1000))
    length = min(length, len(data) - start)
    kind = chance.randrange(3)
    data[start : start + length] = (bytes, lambda n: b"\xff" * n, chance.randbytes)[kind](length)


def _set_number(data: bytearray, chance: random.Random, corpus: list[bytes]) -> None:
    start = _place(data, chance)
    code = chance.choice(("<I", ">I", "<H", ">H", "<Q", ">Q"))
    limit = (1 << (8 * struct.calcsize(code))) - 1
    number = struct.pack(code, chance.choice((*WORDS, chance.getrandbits(64))) & limit)
    data[start : start + len(number)] = number


def _truncate(data: bytearray, chance: random.Random, corpus: list[bytes]) -> None:
    del data[_place(data, chance) :]


def _delete(data: bytearray, chance: random.Random, corpus: list[bytes]) -> None:
    start = _place(data, chance)
    del data[start : start + chance.choice((1, 2, 7, 500))]


def _repeat(data: bytearray, chance: random.Random, corpus: list[bytes]) -> None:
    start = _place(data, chance)
    data[start:start] = data[start : start + chance.choice((1, 8, 300))] * chance.choice((1, 9))


def _splice(data: bytearray, chance: random.Random, corpus: list[bytes]) -> None:
    other = bytearray(chance.choice(corpus))
    data[_place(data, chance) :] = other[_place(other, chance) :]


def _append(data: bytearray, chance: random.Random, corpus: list[bytes]) -> None:
    data += chance.randbytes(chance.choice((1, 100, 5000)))


MUTATIONS: tuple[Callable[[bytearray, random.Random, list[bytes]], None], ...] = (
    _flip_bits,
    _flip_bits,
    _overwrite,
    _set_number,
    _set_number,
    _truncate,
    _delete,
    _repeat,
    _splice,
    _append,
)
