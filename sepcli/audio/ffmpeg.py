"""Formats that libsndfile does not read, through the `ffmpeg` program where there is one.

The file's name never reaches ffmpeg: it gets the open file as its standard input, under the
name `/dev/fd/0`. A name such as `-y` or `concat:…` can therefore not be taken for an option or a
protocol, and a file that was deleted meanwhile still reads. Only containers that hold their sound
themselves are let in: a playlist from a stranger could name other files or open connections, and
may have ffmpeg wait for its next part for ever.

What comes back is an AU stream of 32-bit floats: unlike WAV, its header has no length that a
pipe cannot know.
"""

import os
import select
import shutil
import struct
import subprocess
import tempfile
from typing import IO

import numpy as np
import numpy.typing as npt

from sepcli.errors import AudioError

AU_MAGIC = b".snd"
AU_FLOAT32 = 6
AU_HEADER = struct.Struct(">4s5I")  # magic, data offset, size, encoding, rate, channels
MAX_AU_OFFSET = 1 << 16
STOP_SECONDS = 5.0
SKIP_SAMPLES = 4096

SILENT_SECONDS = 120.0  # without a byte for so long, ffmpeg is taken to hang

# fmt: off
CONTAINERS = (
    "aac", "ac3", "aiff", "amr", "amrnb", "amrwb", "ape", "asf", "au", "avi", "caf", "dsf", "dts",
    "dtshd", "eac3", "flac", "flv", "gsm", "iff", "loas", "matroska", "mlp", "mov", "mp3", "mpc",
    "mpc8", "mpeg", "mpegts", "mxf", "nut", "ogg", "oma", "qcp", "rm", "shn", "tak", "truehd",
    "tta", "voc", "w64", "wav", "wsd", "wv", "xwma",
)
ARGUMENTS = (
    "-nostdin", "-hide_banner", "-loglevel", "error",
    "-protocol_whitelist", "file", "-format_whitelist", ",".join(CONTAINERS),
    "-i", "file:/dev/fd/0",
    "-map", "0:a:0", "-vn", "-sn", "-dn",
    "-c:a", "pcm_f32be", "-f", "au", "pipe:1",
)
# fmt: on


class FfmpegDecoder:
    """A running ffmpeg that decodes the first audio stream of one file.

    Attributes:
        sample_rate: In Hz.
        num_channels: Channels per sample.
        num_samples: None: a stream does not say.
        num_absent: 0: what is missing is not known.
        num_silenced: 0: ffmpeg conceals damage in its own way.
        format: `FFMPEG`.
        subtype: `FLOAT`.
        remarks: What the user should know, a line each; complete after reading.
        problem: What ffmpeg complained about when it failed at the end; else empty.
    """

    num_samples: int | None = None
    num_absent = num_silenced = 0
    format, subtype = "FFMPEG", "FLOAT"

    def __init__(self, source: IO[bytes], name: str) -> None:
        """Start ffmpeg on an open, seekable file and read the header of what it decodes.

        Raises:
            AudioError: ffmpeg is not installed, or finds no audio in the file.
        """
        program = shutil.which("ffmpeg")
        if program is None:
            raise AudioError(
                f"not a format that can be read here: {name}",
                "install ffmpeg to read more formats (apt install ffmpeg, brew install ffmpeg), "
                "or convert the file to WAV or FLAC",
            )
        self._name = name
        self.problem = ""
        self.remarks: list[str] = []
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        source.seek(0)
        try:
            self._process = subprocess.Popen(
                [program, *ARGUMENTS],
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                close_fds=True,
            )
        except OSError as error:
            self._errors.close()
            raise AudioError(
                f"ffmpeg does not start: {error.strerror}",
                "check that ffmpeg runs: ffmpeg -version",
            ) from error
        try:
            self.sample_rate, self.num_channels = self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> tuple[int, int]:
        """Return rate and channels from the AU header."""
        header = self._read_exactly(AU_HEADER.size)
        if len(header) == AU_HEADER.size:
            magic, offset, _, encoding, rate, channels = AU_HEADER.unpack(header)
            if magic == AU_MAGIC and encoding == AU_FLOAT32 and offset <= MAX_AU_OFFSET:
                self._read_exactly(offset - AU_HEADER.size)
                return rate, channels
        self._stop()
        raise AudioError(
            f"not a recording that can be read: {self._name}",
            f"neither libsndfile nor ffmpeg reads it; ffmpeg says: {self.error_line()}",
        )

    def _read_exactly(self, num_bytes: int) -> bytes:
        """Return the next bytes; fewer only at the end.

        Raises:
            AudioError: Nothing came for a very long time.
        """
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        pieces = []
        while num_bytes > 0:
            if not select.select([descriptor], [], [], SILENT_SECONDS)[0]:
                raise AudioError(
                    f"ffmpeg does not get on with: {self._name}",
                    "convert it to WAV or FLAC by hand to see what is wrong with it",
                )
            piece = os.read(descriptor, num_bytes)
            if not piece:
                break
            pieces.append(piece)
            num_bytes -= len(piece)
        return b"".join(pieces)

    def read(self, num_samples: int) -> npt.NDArray[np.float32]:
        """Return the next samples, `[samples, channels]`; fewer than asked only at the end."""
        data = self._read_exactly(num_samples * self.num_channels * 4)
        whole = len(data) // (4 * self.num_channels)
        if whole < num_samples and not self.problem:
            self._process.wait()  # it closed its output: it is ending
            self.problem = self.error_line() if self._process.returncode else ""
        samples = np.frombuffer(data, ">f4", whole * self.num_channels)
        return samples.astype(np.float32).reshape(whole, self.num_channels)

    def error_line(self) -> str:
        """Return the last thing ffmpeg complained about as one line; empty when all went well."""
        self._errors.seek(0)
        text = self._errors.read(1 << 14).decode("utf-8", "replace")
        lines = ["".join(c for c in x if c.isprintable()).strip() for x in text.splitlines()]
        lines = [line.replace("file:/dev/fd/0", self._name) for line in lines if line]
        if lines:
            return lines[-1][:200]
        return f"exit code {self._process.returncode}" if self._process.returncode else ""

    def skip(self, num_samples: int) -> int:
        """Return how many samples were passed over; fewer than asked only at the end."""
        skipped = 0
        while skipped < num_samples:
            piece = len(self.read(min(SKIP_SAMPLES, num_samples - skipped)))
            if piece == 0:
                break
            skipped += piece
        return skipped

    def _stop(self) -> None:
        """End the process, if it still runs, and reap it."""
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def close(self) -> None:
        """End the process and forget what it said."""
        self._stop()
        self._errors.close()
