"""WAV files as they are written: libsndfile's layout, the same bytes at any time of day.

Ours because libsndfile stamps the time into float files (its PEAK chunk), which soundfile cannot
switch off: the same estimates would not be the same file.

Where channels are people, a comment (LIST INFO) and iXML have their names, and more than two are
WAVE_FORMAT_EXTENSIBLE without a mask: no front, centre or bass of loudspeakers.
"""

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sepcli.audio import channel_names as named
from sepcli.audio.formats import VALUE_BYTES
from sepcli.files.pending import PendingFile

# RIFF lengths have 32 bits; the margin is for headers and other chunks
MAX_WAV_BYTES = (1 << 32) - (1 << 16)
UNKNOWN = 0xFFFFFFFF  # where RF64 has its length in the `ds64` chunk
PCM, IEEE_FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
GUID_END = bytes.fromhex("000000001000800000aa00389b71")  # of formats that have a number too
DS64 = struct.Struct("<4sI4s4sI3QI")  # RF64, size, WAVE, ds64, its size, 3 lengths, table


class WavEncoder:
    """Writes the values of a WAV through a file that keeps its errors to itself.

    Args:
        file: Where to; ask it whether all went well.
        sample_rate: In Hz.
        num_channels: Channels of every block.
        subtype: `PCM_16`, `PCM_24` or `FLOAT`.
        num_samples: How many are expected; what came instead is put right at the end.
        channel_names: Who is on each channel; empty where nobody is.
    """

    def __init__(
        self,
        file: PendingFile,
        sample_rate: int,
        num_channels: int,
        subtype: str,
        num_samples: int,
        channel_names: Sequence[str] = (),
    ) -> None:
        self._file = file
        self._is_float = subtype == "FLOAT"
        self._value_bytes = VALUE_BYTES[subtype]
        self._sample_bytes = num_channels * self._value_bytes
        kind = IEEE_FLOAT if self._is_float else PCM
        byte_rate, bits = sample_rate * self._sample_bytes, 8 * self._value_bytes
        is_discrete = num_channels > 2 and bool(channel_names)
        extension = struct.pack("<2HIH", 22, bits, 0, kind) + GUID_END if is_discrete else b""
        self._format = _chunk(
            b"fmt ",
            struct.pack(
                "<2H2I2H",
                *(EXTENSIBLE if is_discrete else kind, num_channels),
                *(sample_rate, byte_rate, self._sample_bytes, bits),
            )
            + extension,
        )
        self._names = _name_chunks(channel_names) if channel_names else b""
        self._is_long = num_samples * self._sample_bytes > MAX_WAV_BYTES
        self._promised = num_samples * self._sample_bytes
        self._num_bytes = 0
        self._pending = self._header(self._promised)

    def has_room(self, num_samples: int) -> bool:
        """Return whether the header has room for the length with that many samples more."""
        num_bytes = self._num_bytes + num_samples * self._sample_bytes
        return self._is_long or num_bytes <= MAX_WAV_BYTES

    def write(self, values: npt.NDArray[np.generic]) -> None:
        """Append values, `[samples]` or `[samples, channels]`: int16, int32 or float32.

        Of 32-bit integers the upper 24 bits are stored.
        """
        stored = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).view(np.uint8)
        if self._value_bytes == 3:
            stored = np.ascontiguousarray(stored.reshape(-1, 4)[:, 1:])
        data = stored.reshape(-1).data
        self._file.write(self._pending + data if self._pending else data)
        self._pending = b""
        self._num_bytes += stored.nbytes

    def close(self) -> None:
        """Write what is missing, and the header again if it promised another length."""
        if self._pending or self._num_bytes % 2:
            self._file.write(self._pending + b"\0" * (self._num_bytes % 2))
        self._pending = b""
        if self._num_bytes != self._promised and self._file.error is None:
            self._file.seek(0)
            self._file.write(self._header(self._num_bytes))

    def _header(self, num_bytes: int) -> bytes:
        """Return all that comes before the values."""
        chunks = self._format
        if self._is_float:
            fact = UNKNOWN if self._is_long else num_bytes // self._sample_bytes
            chunks += struct.pack("<4s2I", b"fact", 4, fact)
        chunks += self._names
        chunks += struct.pack("<4sI", b"data", UNKNOWN if self._is_long else num_bytes)
        length = 4 + len(chunks) + num_bytes + num_bytes % 2
        if not self._is_long:
            return struct.pack("<4sI4s", b"RIFF", length, b"WAVE") + chunks
        length += DS64.size - 12
        num_samples = num_bytes // self._sample_bytes
        ds64 = (b"RF64", UNKNOWN, b"WAVE", b"ds64", DS64.size - 20)
        return DS64.pack(*ds64, length, num_bytes, num_samples, 0) + chunks


def _name_chunks(names: Sequence[str]) -> bytes:
    """Return the chunks that say who is on each channel."""
    comment = _chunk(b"ICMT", named.comment(names).encode() + b"\0")
    return _chunk(b"LIST", b"INFO" + comment) + _chunk(b"iXML", named.ixml(names).encode())


def _chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk, as long as an even number of bytes."""
    return struct.pack("<4sI", kind, len(content)) + content + b"\0" * (len(content) % 2)
