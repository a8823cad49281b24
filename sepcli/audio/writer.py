"""Writing estimates, block by block.

PCM values. A sample x becomes `round(x * 2**(bits - 1))`, halves to even, limited to what the
integer can hold: +1.0 becomes 32767 and -1.0 becomes -32768, nothing wraps around, and a 16-bit
recording that was only read and written is the same to the last bit. Values that were limited are
counted. There is no dither: it would add noise to silence and change samples that were exact.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import soundfile

from sepcli.audio.formats import OutputFormat, check_output_format
from sepcli.audio.ogg_serial import settle_serial
from sepcli.audio.sndfile import SndfileEncoder
from sepcli.audio.wav import WavEncoder
from sepcli.errors import OutputError
from sepcli.files.pending import PendingFile
from sepcli.files.temporary import printable

Samples = npt.NDArray[np.float32]


class AudioWriter:
    """A recording being written; a context manager that removes what was not committed.

    Attributes:
        path: The final name.
        file: What is written, under its hidden name.
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
        channel_names: Sequence[str] = (),
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
            channel_names: Who is on each channel, for the metadata; empty where nobody is.

        Raises:
            UsageError: The format does not take that subtype, rate or number of channels.
            OutputError: The folder does not take the file.
        """
        self.path = path
        self.num_written = self.num_clipped = 0
        self.output_format: OutputFormat = check_output_format(
            format or path.suffix, subtype, sample_rate, num_channels
        )
        self._num_channels, self._channel_names = num_channels, channel_names
        self.file = PendingFile(path, overwrite)
        self._encoder: WavEncoder | SndfileEncoder | None = None
        try:
            self._encoder = self._new_encoder(sample_rate, num_samples or 0)
            self.file.check()
        except soundfile.LibsndfileError as error:
            self.discard()
            raise self._failure(error) from error
        except BaseException:
            self.discard()
            raise

    def _new_encoder(self, sample_rate: int, num_samples: int) -> WavEncoder | SndfileEncoder:
        format, subtype = self.output_format.format, self.output_format.subtype
        layout = (sample_rate, self._num_channels)
        if format == "wav":
            return WavEncoder(self.file, *layout, subtype, num_samples, self._channel_names)
        return SndfileEncoder(self.file, *layout, format, subtype, self._channel_names)

    def _failure(self, error: Exception) -> OutputError:
        """Return the error for something that libsndfile refused: the disk's, if it has one."""
        try:
            self.file.check()
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
        if self._encoder is None:
            raise ValueError(f"write after commit or discard: {self.path}")
        num_channels = block.shape[1] if block.ndim == 2 else 1
        if num_channels != self._num_channels:
            raise ValueError(f"{num_channels} channels instead of {self._num_channels}")
        low, high = float(block.min(initial=0.0)), float(block.max(initial=0.0))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise OutputError(
                f"a result is not a number, nothing was written: {printable(self.path)}",
                "try --precision fp32, or another model",
            )
        if isinstance(self._encoder, WavEncoder) and not self._encoder.has_room(len(block)):
            raise OutputError(
                f"too long for a WAV of 4 GB: {printable(self.path)}", "use --format flac"
            )
        if self.output_format.subtype != "FLOAT" and (low < -1.0 or high > 1.0):
            self.num_clipped += int(np.count_nonzero(np.abs(block) > 1))
        try:
            self._encoder.write(self._encoded(block))
            self.file.check()
        except (soundfile.LibsndfileError, AssertionError) as error:
            raise self._failure(error) from error
        self.num_written += len(block)

    def _encoded(self, block: Samples) -> npt.NDArray[np.generic]:
        """Return the values as encoders store them without changing them again."""
        subtype = self.output_format.subtype
        if subtype == "FLOAT":
            return block
        if subtype == "PCM_16":
            return quantized(block, 16).astype(np.int16)
        if subtype == "PCM_24":
            return quantized(block, 24).astype(np.int32) << 8  # encoders store the upper 24 of 32
        return np.clip(block, np.float32(-1), np.float32(1))

    def finish(self) -> None:
        """Write what the encoder still holds and close; the final name is not touched yet.

        Raises:
            OutputError: The disk did not take it.
        """
        if self._encoder is None:
            return
        if self.num_written == 0 and self.output_format.format in ("flac", "mp3"):
            # their encoders write no byte for it, not even a header
            raise OutputError(
                f"{self.output_format.format} cannot hold a recording without samples: "
                f"{printable(self.path)}",
                "use --format wav",
            )
        encoder, self._encoder = self._encoder, None
        try:
            encoder.close()
            if self.output_format.format == "ogg":
                settle_serial(self.file)
        except soundfile.LibsndfileError as error:
            raise self._failure(error) from error
        finally:
            self.file.close()
        self.file.check()

    def commit(self) -> None:
        """Give the file its final name, in one step that nobody sees half of.

        Raises:
            OutputError: The disk did not take it, or a file is there and may not be replaced.
        """
        try:
            self.finish()
            self.file.publish()
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove the temporary, unless it was committed; may be called twice."""
        if isinstance(self._encoder, SndfileEncoder):
            self._encoder.abandon()
        self._encoder = None
        self.file.discard()

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was not committed."""
        self.discard()


def quantized(block: Samples, bits: int) -> Samples:
    """Return samples as integers of `bits` bits: nearest, halves to even, limited to the range.

    Exact in float32 as well: a power of two changes no digit, and what is rounded away is there.
    """
    scale = np.float32(1 << (bits - 1))
    rounded = block * scale
    np.rint(rounded, out=rounded)
    limited: Samples = np.clip(rounded, -scale, scale - 1, out=rounded)
    return limited
