"""Formats that libsndfile does not read, through the `ffmpeg` program where there is one.

The file's name never reaches ffmpeg: it gets the open file as its standard input. A name such as
`-y` or `concat:…` can therefore not be taken for an option or a protocol, and a file that was
deleted meanwhile still reads. Only containers that hold their sound themselves are let in: a
playlist from a stranger could name other files or open connections, and may have ffmpeg wait for
its next part for ever.

What comes back is an AU stream of 32-bit floats: unlike WAV, its header has no length that a
pipe cannot know.
"""

import os
import re
import shutil
import struct
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from sepcli.audio.containers import CONTAINERS
from sepcli.audio.mpeg import id3_length
from sepcli.audio.waiting import wait_readable
from sepcli.errors import AudioError

AU_MAGIC = b".snd"
AU_FLOAT32 = 6
AU_HEADER = struct.Struct(">4s5I")  # magic, data offset, size, encoding, rate, channels
MAX_AU_OFFSET = 1 << 16
STOP_SECONDS = 0.3  # who ends a run should not wait longer for a program that does not
SKIP_SAMPLES = 4096

SILENT_SECONDS = 120.0  # without a byte for so long, ffmpeg is taken to hang

SAID_BYTES = 1 << 20  # of what ffmpeg says; more is repetition

# standard input by a name under which ffmpeg seeks in it; the second one it knows from version 6 on
INPUT = "file:/dev/fd/0" if Path("/dev/fd").exists() else "fd:"

# fmt: off
ARGUMENTS = (
    "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info",
    "-protocol_whitelist", INPUT.partition(":")[0], "-format_whitelist", ",".join(CONTAINERS),
    "-i", INPUT,
    "-vn", "-sn", "-dn",
    "-c:a", "pcm_f32be", "-f", "au",
)
# fmt: on
# gaps in time become silence, and a late start too: all stays where it was
IN_TIME = ("-af", "aresample=async=1:first_pts=0")
TRACK = re.compile(r"(?m)^\[info\]\s{1,3}Stream #0:\d+.*?: Audio: (.*)$")
LEVEL = re.compile(r"\[(quiet|panic|fatal|error|warning|info|verbose|debug)\] ")
COMPLAINTS = ("panic", "fatal", "error", None)  # None: no level, so it is not ffmpeg's own


class FfmpegDecoder:
    """A running ffmpeg that decodes one audio track of one file.

    Attributes:
        sample_rate: In Hz.
        num_channels: Channels per sample.
        num_samples: None: a stream does not say.
        num_absent: 0: what is missing is not known.
        num_silenced: 0: ffmpeg conceals damage in its own way.
        format: `FFMPEG`.
        subtype: `FLOAT` or `PCM_24` where the track holds as much, else `LOSSY`.
        remarks: What the user should know, a line each; complete after reading.
        problem: What ffmpeg complained about when it failed at the end; else empty.
    """

    num_samples: int | None = None
    num_absent = num_silenced = 0
    format = "FFMPEG"

    def __init__(self, source: IO[bytes], name: str, track: int | None = None) -> None:
        """Start ffmpeg on an open, seekable file and read the header of what it decodes.

        Args:
            source: The file.
            name: What to call it in messages.
            track: Which of its audio tracks, from 1; None is the first.

        Raises:
            AudioError: ffmpeg is not installed, or finds no such audio in the file.
        """
        program = shutil.which("ffmpeg")
        if program is None:
            raise AudioError(
                f"not a format that can be read here: {name}",
                "install ffmpeg to read more formats (apt install ffmpeg, brew install ffmpeg), "
                "or convert the file to WAV or FLAC",
            )
        self._name = name
        self._track = track or 1
        self.problem = ""
        self.remarks: list[str] = []
        self._has_ended = False
        self._log = _Log()
        timing = IN_TIME if _has_times(source) else ()
        source.seek(0)
        os.lseek(source.fileno(), 0, os.SEEK_SET)  # the file itself may be a buffer further
        try:
            self._process = subprocess.Popen(
                [program, *ARGUMENTS, *timing, "-map", f"0:a:{self._track - 1}", "pipe:1"],
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=self._log.writing_end,
                close_fds=True,
            )
        except OSError as error:
            self._log.close()
            raise AudioError(
                f"ffmpeg does not start: {error.strerror}",
                "check that ffmpeg runs: ffmpeg -version",
            ) from error
        try:
            self.sample_rate, self.num_channels = self._read_header()
        except BaseException:
            self.close()
            raise
        tracks = self._tracks()
        self.subtype = _subtype(tracks[self._track - 1]) if len(tracks) >= self._track else "LOSSY"
        if track is None and len(tracks) > 1:
            self.remarks.append(f"{len(tracks)} audio tracks, the first was read (see --track)")

    def _read_header(self) -> tuple[int, int]:
        """Return rate and channels from the AU header."""
        header = self._read_exactly(AU_HEADER.size)
        if len(header) == AU_HEADER.size:
            magic, offset, _, encoding, rate, channels = AU_HEADER.unpack(header)
            if magic == AU_MAGIC and encoding == AU_FLOAT32 and offset <= MAX_AU_OFFSET:
                self._read_exactly(offset - AU_HEADER.size)
                return rate, channels
        self._stop()
        num_tracks = len(self._tracks())
        if 0 < num_tracks < self._track:
            raise no_such_track(self._track, num_tracks, self._name)
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
            if not wait_readable(descriptor, SILENT_SECONDS):
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
        if whole < num_samples and not self._has_ended:
            self._has_ended = True
            self._process.wait()  # it closed its output: it is ending
            complaints = self._complaints()
            if self._process.returncode:
                self.problem = self.error_line()
            elif complaints:
                more = f", and {len(complaints) - 1} more" if len(complaints) > 1 else ""
                self.remarks.append(f"ffmpeg read it with trouble ({complaints[0][:200]}{more})")
        samples = np.frombuffer(data, ">f4", whole * self.num_channels)
        return samples.astype(np.float32).reshape(whole, self.num_channels)

    def _tracks(self) -> list[str]:
        """Return ffmpeg's description of each audio track of the file."""
        return TRACK.findall(
            self._log.text().partition("Stream mapping:")[0].partition("Output #")[0]
        )

    def _complaints(self) -> list[str]:
        """Return what ffmpeg complained about, a line each."""
        found = []
        for line in self._log.text().splitlines():
            level = LEVEL.search(line)
            if (level.group(1) if level else None) in COMPLAINTS:
                text = LEVEL.sub("", line).replace(INPUT, self._name)
                found.append("".join(c for c in text if c.isprintable()).strip())
        return [line for line in found if line]

    def error_line(self) -> str:
        """Return the last thing ffmpeg complained about as one line; empty when all went well."""
        if lines := self._complaints():
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
        self._log.close()


class _Log:
    """A nameless file that ffmpeg writes to, read at a position of its own while it writes.

    Attributes:
        writing_end: For ffmpeg.
    """

    def __init__(self) -> None:
        descriptor, name = tempfile.mkstemp(prefix="sepcli-", suffix=".log")
        self._path = Path(name)
        self.writing_end = os.fdopen(descriptor, "wb")
        self._reading_end = self._path.open("rb", buffering=0)
        with suppress(PermissionError):  # Windows: only once it is closed
            self._path.unlink()

    def text(self) -> str:
        """Return what was written so far."""
        self._reading_end.seek(0)
        return (self._reading_end.read(SAID_BYTES) or b"").decode("utf-8", "replace")

    def close(self) -> None:
        """Forget it."""
        self.writing_end.close()
        self._reading_end.close()
        self._path.unlink(missing_ok=True)


def no_such_track(track: int, num_tracks: int, name: str) -> AudioError:
    """Return the error for a track that a file does not have."""
    tracks = "one audio track" if num_tracks == 1 else f"{num_tracks} audio tracks"
    return AudioError(f"no audio track {track}: {name}", f"it has {tracks}")


def _subtype(track: str) -> str:
    """Return how much of a sample a track holds, by what ffmpeg says of it."""
    if "pcm_f" in track:
        return "FLOAT"
    return "PCM_24" if re.search(r", s32p?\b", track) else "LOSSY"


def _has_times(source: IO[bytes]) -> bool:
    """Return whether a file says when its packets are heard; raw AAC (ADTS) does not.

    ffmpeg makes times up for it from the bit rate, and damage makes these jump: a minute and a
    half of silence was filled into one recording.
    """
    source.seek(0)
    source.seek(id3_length(source.read(10)))
    head = source.read(2)
    return not (len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0)
