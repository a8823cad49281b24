"""Plain WAV files, in one call to the system for each block.

libsndfile makes thirty calls for a file of one block, and a folder of short recordings has many of
them. What is written has libsndfile's layout, without its PEAK chunk, which holds the time of day.
What is read is intact, with 16-bit integers or 32-bit floats; libsndfile does all the rest.
"""

import os
import struct
from typing import IO

import numpy as np
import numpy.typing as npt

from sepcli.audio.wav_header import DS64, UNKNOWN_LENGTH
from sepcli.files.pending import PendingFile

# RIFF lengths have 32 bits; the margin is for headers and other chunks
MAX_WAV_BYTES = (1 << 32) - (1 << 16)
UNKNOWN = 0xFFFFFFFF  # where RF64 has its length in the `ds64` chunk
PCM, IEEE_FLOAT = 1, 3
VALUE_BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}
READ = {(PCM, 16): ("PCM_16", "<i2"), (IEEE_FLOAT, 32): ("FLOAT", "<f4")}
HEAD_BYTES = 4096  # with the sound beginning further back, libsndfile may look for it
MAX_CHANNELS = 1024  # libsndfile's limit, kept so that it does not matter who reads

Samples = npt.NDArray[np.float32]


class WavDecoder:
    """An intact WAV, read in order; what `SndfileDecoder` is for other recordings.

    Attributes:
        sample_rate: In Hz.
        num_channels: Channels per sample.
        num_samples: Samples per channel.
        subtype: `PCM_16` or `FLOAT`.
        problem: What the disk said when it could not be read; empty if it could.
    """

    format = "WAV"
    num_absent = num_silenced = 0

    def __init__(self, file: IO[bytes], offset: int, length: int, layout: tuple[int, ...]) -> None:
        """Take over an open file; see `wav_decoder`.

        Args:
            file: Unbuffered.
            offset: Of the first value [bytes].
            length: Of all values [bytes].
            layout: The `fmt ` chunk: kind, channels, rate, bytes a second, bytes a sample, bits.
        """
        kind, self.num_channels, self.sample_rate, _, self._sample_bytes, bits = layout
        self.subtype, self._dtype = READ[kind, bits]
        self.num_samples = length // self._sample_bytes
        self.problem = ""
        self._file = file
        self._left = self.num_samples
        file.seek(offset)

    def read(self, num_samples: int) -> Samples:
        """Return the next samples, `[samples, channels]`; fewer than asked only at the end."""
        wanted = min(num_samples, self._left) * self._sample_bytes
        data = b""
        try:
            while len(data) < wanted and (more := self._file.read(wanted - len(data))):
                data = data + more if data else more
        except OSError as error:
            self.problem = (error.strerror or "failed").lower()
        whole = len(data) // self._sample_bytes
        self._left = self._left - whole if len(data) == wanted else 0
        values = np.frombuffer(data, self._dtype, whole * self.num_channels)
        if self.subtype == "PCM_16":
            values = values * np.float32(2.0**-15)
        return values.astype(np.float32, copy=False).reshape(whole, self.num_channels)

    def skip(self, num_samples: int) -> int:
        """Return how many samples were passed over; fewer than asked only at the end."""
        skipped = min(num_samples, self._left)
        self._file.seek(skipped * self._sample_bytes, os.SEEK_CUR)
        self._left -= skipped
        return skipped

    def close(self) -> None:
        """Nothing is held; the file is the caller's."""


def wav_decoder(file: IO[bytes]) -> WavDecoder | None:
    """Return the decoder of a WAV, or None where libsndfile has to see what it is."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    position, layout = 12, None
    while position + 8 <= len(head):
        name, length = struct.unpack_from("<4sI", head, position)
        position += 8
        if name == b"fmt " and length >= 16 and position + 16 <= len(head) and layout is None:
            layout = struct.unpack_from("<2H2I2H", head, position)
        elif name == b"data":
            is_whole = 0 < length < UNKNOWN_LENGTH and position + length <= size
            if not is_whole or layout is None or not _is_plain(layout):
                return None
            return WavDecoder(file, position, length, layout)
        position += length + length % 2
    return None


def _is_plain(layout: tuple[int, ...]) -> bool:
    kind, channels, rate, _, sample_bytes, bits = layout
    is_known = (kind, bits) in READ and 1 <= channels <= MAX_CHANNELS and rate > 0
    return is_known and sample_bytes == channels * bits // 8


class WavEncoder:
    """Writes the values of a WAV through a file that keeps its errors to itself.

    Args:
        file: Where to; ask it whether all went well.
        sample_rate: In Hz.
        num_channels: Channels of every block.
        subtype: `PCM_16`, `PCM_24` or `FLOAT`.
        num_samples: How many are expected; what came instead is put right at the end.
    """

    def __init__(
        self,
        file: PendingFile,
        sample_rate: int,
        num_channels: int,
        subtype: str,
        num_samples: int,
    ) -> None:
        self._file = file
        self._is_float = subtype == "FLOAT"
        self._value_bytes = VALUE_BYTES[subtype]
        self._sample_bytes = num_channels * self._value_bytes
        kind = IEEE_FLOAT if self._is_float else PCM
        byte_rate, bits = sample_rate * self._sample_bytes, 8 * self._value_bytes
        self._format = struct.pack(
            "<4sI2H2I2H",
            *(b"fmt ", 16, kind, num_channels, sample_rate, byte_rate, self._sample_bytes, bits),
        )
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
        self._file.write(self._pending)
        self._file.write(stored.reshape(-1).data)
        self._pending = b""
        self._num_bytes += stored.nbytes

    def close(self) -> None:
        """Write what is missing, and the header again if it promised another length."""
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
        chunks += struct.pack("<4sI", b"data", UNKNOWN if self._is_long else num_bytes)
        length = 4 + len(chunks) + num_bytes + num_bytes % 2
        if not self._is_long:
            return struct.pack("<4sI4s", b"RIFF", length, b"WAVE") + chunks
        length += DS64.size - 12
        num_samples = num_bytes // self._sample_bytes
        ds64 = (b"RF64", UNKNOWN, b"WAVE", b"ds64", DS64.size - 20)
        return DS64.pack(*ds64, length, num_bytes, num_samples, 0) + chunks
