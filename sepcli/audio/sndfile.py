"""What libsndfile does: recordings that it reads, also damaged ones, and compressed outputs."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import soundfile

from sepcli.audio import channel_names as named
from sepcli.audio.formats import VALUE_BYTES
from sepcli.audio.library_noise import without_mpg123
from sepcli.audio.view import View
from sepcli.files.pending import PendingFile

Samples = npt.NDArray[np.float32]

STEP_SAMPLES = 4096  # read at once: a decoder error loses no more than this
MAX_GAP_SAMPLES = 1 << 20  # a longer stretch of damage ends the recording
UNKNOWN_NUM_SAMPLES = 1 << 48  # more than this is a header that does not know (2**63 - 1)

# libsndfile's Vorbis encoder puts a whole call's samples on the stack
STEP_VALUES = 1 << 15

# what soundfile raises for what is no recording, or needs its format to be named
NOT_RECOGNISED = (soundfile.LibsndfileError, TypeError, ValueError)


def read_channel_names(path: Path) -> tuple[str, ...]:
    """Return who is on each channel of a file that we wrote; empty where it does not say."""
    try:
        with without_mpg123(), soundfile.SoundFile(path) as sound:
            return named.names_in(sound.comment, sound.channels)
    except NOT_RECOGNISED:
        return ()


class InOrder(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that is read or written in order.

    soundfile seeks to where it already is after every read or write of a file that can seek. That
    makes an MP3 decoder forget the bits that its next frames refer back to, and much of the sound
    is lost.
    """

    def seekable(self) -> bool:
        """Return False, which is what makes soundfile leave the position alone."""
        return False


class SndfileDecoder:
    """What libsndfile sees of a recording, read in order.

    Attributes:
        sample_rate: In Hz.
        num_channels: Channels per sample.
        num_samples: Samples per channel by the header; None when it does not say.
        num_silenced: Samples that could not be decoded and became 0, to keep the rest in place.
        position: Samples given out or passed over so far.
        format: libsndfile's name of the container.
        subtype: libsndfile's name of the encoding.
        endian: `LITTLE` or `BIG` where it is not what the container usually has, else `FILE`.
        problem: The first complaint; empty when there was none.
    """

    def __init__(self, source: IO[bytes] | View, **raw: Any) -> None:
        """Read the header.

        Args:
            source: An open file, or a view of one.
            raw: For values without a header: what soundfile wants to know of them.

        Raises:
            NOT_RECOGNISED: libsndfile does not read it.
        """
        self._source = source
        self._raw = raw
        self._sound = self._opened()
        self.sample_rate = int(self._sound.samplerate)
        self.num_channels = int(self._sound.channels)
        self.format = str(self._sound.format)
        self.subtype = str(self._sound.subtype)
        self.endian = str(self._sound.endian)
        frames = int(self._sound.frames)
        self.num_samples = frames if 0 <= frames < UNKNOWN_NUM_SAMPLES else None
        self.num_silenced = 0
        self.problem = ""
        self.position = 0
        # Plain values cannot be damaged one by one; each call costs as much as 2000 of them.
        self._is_plain = self.subtype in VALUE_BYTES and self.format != "FLAC"
        self._zeros = 0
        self._ended = False

    def _opened(self) -> soundfile.SoundFile:
        """Return libsndfile's view of the file, at its beginning."""
        self._source.seek(0)
        may_be_mpeg = self._source.read(1) in (b"\xff", b"I")  # a frame, or a tag before it
        self._source.seek(0)
        with without_mpg123() if may_be_mpeg else contextlib.nullcontext():
            if isinstance(self._source, View):
                return InOrder(self._source, **self._raw)
            # a copy, because older versions close what they cannot read
            return InOrder(os.dup(self._source.fileno()), closefd=True)

    def read(self, num_samples: int) -> Samples:
        """Return the next samples, `[samples, channels]`; fewer than asked only at the end."""
        pieces: list[Samples] = []
        missing = num_samples
        step = missing if self._is_plain else STEP_SAMPLES
        while missing > 0 and not self._ended:
            piece = self._read_step(min(step, missing))
            self.position += len(piece)
            missing -= len(piece)
            pieces.append(piece)
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate([np.zeros((0, self.num_channels), np.float32), *pieces])

    def _read_step(self, num_samples: int) -> Samples:
        """Return at least one sample, or none and `_ended`."""
        if self._zeros == 0:
            try:
                piece = self._decoded(num_samples)
            except soundfile.LibsndfileError as error:
                said = " ".join(error.error_string.split())
                self.problem = self.problem or said.removeprefix("Error : ").rstrip(".")
                self._zeros = self._skip_damage()
                self.num_silenced += self._zeros
            else:
                self._ended = len(piece) < (num_samples if self._is_plain else 1)
                return piece
        num_zeros = min(self._zeros, num_samples)
        self._zeros -= num_zeros
        self._ended = num_zeros == 0
        return np.zeros((num_zeros, self.num_channels), np.float32)

    def _decoded(self, num_samples: int) -> Samples:
        if self._is_plain and self.num_samples is not None:
            # libsndfile fills with zeros what it has not: a block for the shortest file
            num_samples = min(num_samples, self.num_samples - self.position)
        piece = np.empty((num_samples, self.num_channels), np.float32)
        with without_mpg123() if self.format == "MP3" else contextlib.nullcontext():
            return piece[: self._sound.buffer_read_into(piece, "float32")]

    def _skip_damage(self) -> int:
        """Return after how many samples decoding goes on, 0 for not at all.

        Only FLAC: each of its frames says where it belongs, so what follows stays in its place.
        """
        if self.format != "FLAC" or self.num_samples is None:
            return 0
        gap = STEP_SAMPLES
        while gap <= MAX_GAP_SAMPLES and self.position + gap < self.num_samples:
            self._sound.close()
            try:
                self._sound = self._opened()  # after an error libsndfile has lost its place
            except NOT_RECOGNISED:  # the disk gives no more
                return 0
            if self._finds(self.position + gap):
                return gap
            gap *= 2
        return 0

    def _finds(self, position: int) -> bool:
        """Return whether there is a sample at `position`, which is then the next one."""
        try:
            self._sound.seek(position)
            is_there = len(self._sound.read(1)) == 1
            self._sound.seek(position)
        except soundfile.LibsndfileError:
            return False
        return is_there

    def go_to(self, position: int) -> bool:
        """Return whether there is a sample at `position`; reading goes on from there."""
        self.position = position
        return self._finds(position)

    def skip(self, num_samples: int) -> int:
        """Return how many samples were passed over; fewer than asked only at the end."""
        is_fast = self.subtype in VALUE_BYTES and self.num_samples is not None
        if is_fast and self.position + num_samples <= (self.num_samples or 0):
            try:
                self._sound.seek(self.position + num_samples)
            except soundfile.LibsndfileError:
                self._sound.close()
                self._sound = self._opened()
                self._sound.seek(self.position)
            else:
                self.position += num_samples
                return num_samples
        skipped = 0
        while skipped < num_samples and not self._ended:
            skipped += len(self.read(min(STEP_SAMPLES, num_samples - skipped)))
        return skipped

    def close(self) -> None:
        """Close libsndfile's part; the file itself is the caller's."""
        self._sound.close()


class SndfileEncoder:
    """Writes a recording in one of libsndfile's formats through a file that keeps its errors.

    Args:
        file: Where to; ask it whether all went well.
        sample_rate: In Hz.
        num_channels: Channels of every block.
        format: libsndfile's name of the container, in any case.
        subtype: libsndfile's name of the encoding.
        channel_names: Who is on each channel; empty where nobody is.

    Raises:
        LibsndfileError: libsndfile refuses.
    """

    def __init__(
        self,
        file: PendingFile,
        sample_rate: int,
        num_channels: int,
        format: str,
        subtype: str,
        channel_names: Sequence[str] = (),
    ) -> None:
        self._file = file
        self._step = max(1, STEP_VALUES // num_channels)
        self._sound = InOrder(file, "w", sample_rate, num_channels, subtype, format=format.upper())
        if channel_names:
            self._sound.comment = named.comment(channel_names)

    def write(self, values: npt.NDArray[np.generic]) -> None:
        """Append values, `[samples]` or `[samples, channels]`: int16, int32 or float32.

        Raises:
            LibsndfileError: libsndfile refuses, or the file took less than it was given.
        """
        for start in range(0, len(values), self._step):
            self._sound.write(values[start : start + self._step])
            if self._file.error is not None:
                return

    def close(self) -> None:
        """Write what the encoder still holds.

        Raises:
            LibsndfileError: libsndfile refuses.
        """
        self._sound.close()

    def abandon(self) -> None:
        """Close what will be thrown away."""
        with contextlib.suppress(soundfile.LibsndfileError):
            self._sound.close()
