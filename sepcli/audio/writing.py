"""Writing estimates, block by block.

PCM values. A sample x becomes `round(x * 2**(bits - 1))`, halves to even, limited to what the
integer can hold: +1.0 becomes 32767 and -1.0 becomes -32768, nothing wraps around, and a 16-bit
recording that was only read and written is the same to the last bit. Values that were limited are
counted. There is no dither: it would add noise to silence and change samples that were exact.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import soundfile

from sepcli.audio.encodings import OutputFormat, check_output_format
from sepcli.audio.names import printable
from sepcli.audio.pending import PendingFile
from sepcli.audio.sndfile import InOrder
from sepcli.errors import OutputError

Samples = npt.NDArray[np.float32]

# libsndfile's Vorbis encoder puts a whole call's samples on the stack
STEP_VALUES = 1 << 15
# RIFF lengths have 32 bits; the margin is for headers and other chunks
MAX_WAV_BYTES = (1 << 32) - (1 << 16)


class AudioWriter:
    """A recording being written; a context manager that removes what was not committed.

    Attributes:
        path: The final name.
        output_format: Format and subtype.
        num_written: Samples per channel so far.
        num_clipped: Values beyond full scale that were limited; always 0 for FLOAT.
    """

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        num_channels: int = 1,
        format: str | None = None,
        subtype: str | None = None,
        *,
        num_samples: int | None = None,
        overwrite: bool = False,
    ) -> None:
        """Make the temporary file beside `path`.

        Args:
            path: The final name; its folder must exist.
            sample_rate: In Hz.
            num_channels: Channels of every block.
            format: `wav`, `flac`, `ogg` or `mp3`; None takes it from the name's ending.
            subtype: `PCM_16`, `PCM_24` or `FLOAT`; None is the format's default.
            num_samples: How many samples will come, where that is known: a WAV beyond 4 GB
                becomes RF64, which is WAV with 64-bit lengths.
            overwrite: Whether `commit` may replace a file that is there.

        Raises:
            UsageError: The format does not take that subtype, rate or number of channels.
            OutputError: The folder does not take the file.
        """
        self.path = path
        self.num_written = self.num_clipped = 0
        self.output_format: OutputFormat = check_output_format(
            format or path.suffix, subtype, sample_rate, num_channels
        )
        self._num_channels = num_channels
        self._container = self._choose_container(num_samples)
        self._sound: soundfile.SoundFile | None = None
        self._file = PendingFile(path, overwrite)
        try:
            self._sound = InOrder(
                self._file,
                "w",
                sample_rate,
                num_channels,
                self.output_format.subtype,
                format=self._container,
            )
            self._file.check()
        except soundfile.LibsndfileError as error:
            self.discard()
            raise self._failure(error) from error
        except BaseException:
            self.discard()
            raise

    def _choose_container(self, num_samples: int | None) -> str:
        """Return libsndfile's name of the container to use."""
        if self.output_format.format != "wav":
            return self.output_format.format.upper()
        return "RF64" if self._num_bytes(num_samples or 0) > MAX_WAV_BYTES else "WAV"

    def _num_bytes(self, num_samples: int) -> int:
        """Return the size of that many samples in a WAV."""
        return num_samples * self._num_channels * self.output_format.bytes_per_value

    def _failure(self, error: Exception) -> OutputError:
        """Return the error for something that libsndfile refused: the disk's, if it has one."""
        try:
            self._file.check()
        except OutputError as cause:
            return cause
        return OutputError(
            f"cannot write ({' '.join(str(error).split())}): {printable(self.path)}",
            "try --format wav",
        )

    def write(self, block: Samples) -> None:
        """Append a block, `[samples]` or `[samples, channels]`, full scale at ±1.

        Raises:
            OutputError: It cannot be written, or holds a value that is not finite.
        """
        if self._sound is None:
            raise ValueError(f"write after commit or discard: {self.path}")
        if block.ndim == 1:
            block = block[:, np.newaxis]
        if block.shape[1] != self._num_channels:
            raise ValueError(f"{block.shape[1]} channels instead of {self._num_channels}")
        if not np.isfinite(block).all():
            raise OutputError(
                f"a result is not a number, nothing was written: {printable(self.path)}",
                "try --precision fp32, or another model",
            )
        self._refuse_too_long(len(block))
        step = max(1, STEP_VALUES // self._num_channels)
        try:
            for start in range(0, len(block), step):
                self._sound.write(self._encoded(block[start : start + step]))
                self._file.check()
        except (soundfile.LibsndfileError, AssertionError) as error:
            raise self._failure(error) from error
        self.num_written += len(block)

    def _refuse_too_long(self, num_more: int) -> None:
        """Raise before the 32-bit length of a WAV would overflow."""
        too_long = self._num_bytes(self.num_written + num_more) > MAX_WAV_BYTES
        if self._container == "WAV" and too_long:
            raise OutputError(
                f"too long for a WAV of 4 GB: {printable(self.path)}", "use --format flac"
            )

    def _encoded(self, block: Samples) -> npt.NDArray[np.generic]:
        """Return the values as libsndfile stores them without changing them again."""
        subtype = self.output_format.subtype
        if subtype == "FLOAT":
            return block
        self.num_clipped += int(np.count_nonzero(np.abs(block) > 1))
        if subtype == "PCM_16":
            return quantized(block, 16).astype(np.int16)
        if subtype == "PCM_24":
            # libsndfile stores the upper 24 of 32 bits
            return quantized(block, 24) << 8
        return np.clip(block, np.float32(-1), np.float32(1))

    def finish(self) -> None:
        """Write what the encoder still holds and close; the final name is not touched yet.

        Raises:
            OutputError: The disk did not take it.
        """
        if self._sound is None:
            return
        if self.num_written == 0 and self.output_format.format in ("flac", "mp3"):
            # their encoders write no byte for it, not even a header
            raise OutputError(
                f"{self.output_format.format} cannot hold a recording without samples: "
                f"{printable(self.path)}",
                "use --format wav",
            )
        sound, self._sound = self._sound, None
        try:
            sound.close()
        except soundfile.LibsndfileError as error:
            raise self._failure(error) from error
        finally:
            self._file.close()
        self._file.check()

    def commit(self) -> None:
        """Give the file its final name, in one step that nobody sees half of.

        Raises:
            OutputError: The disk did not take it, or a file is there and may not be replaced.
        """
        commit_all([self])

    def publish(self) -> None:
        """Give the finished file its final name; `commit` without the finishing.

        Raises:
            OutputError: The name is taken, or the folder does not let it be given.
        """
        self._file.publish()

    def discard(self) -> None:
        """Remove the temporary, unless it was committed; may be called twice."""
        if self._sound is not None:
            sound, self._sound = self._sound, None
            with contextlib.suppress(soundfile.LibsndfileError):  # it is thrown away
                sound.close()
        self._file.discard()

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what was not committed."""
        self.discard()


def quantized(block: Samples, bits: int) -> npt.NDArray[np.int32]:
    """Return samples as integers of `bits` bits: nearest, halves to even, limited to the range.

    Exact in float32 as well: a power of two changes no digit, and what is rounded away is there.
    """
    scale = np.float32(1 << (bits - 1))
    rounded = np.rint(block * scale)
    limited: npt.NDArray[np.int32] = np.clip(rounded, -scale, scale - 1, out=rounded).astype(
        np.int32
    )
    return limited


def commit_all(writers: Sequence[AudioWriter]) -> None:
    """Give all files of one recording their final names, or none.

    All are complete on the disk before the first is renamed. Should a rename fail after others
    succeeded, those are taken away again, so that a run with `--skip-existing` does the whole
    recording anew.

    Raises:
        OutputError: One of them cannot be written or renamed.
    """
    published: list[AudioWriter] = []
    try:
        for writer in writers:
            writer.finish()
        for writer in writers:
            writer.publish()
            published.append(writer)
    except BaseException:
        for writer in published:
            writer.path.unlink(missing_ok=True)
        for writer in writers:
            writer.discard()
        raise
