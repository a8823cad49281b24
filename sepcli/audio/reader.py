"""Streamed reading of recordings in any format.

What is promised about the samples: they are finite and at most 2³¹ in magnitude, the full scale of
32-bit integers, which some programs store as floats unscaled; sums of squares over hours stay far
inside float32 with it. In lossy formats the bound is 4: beyond lies damage, which would decide the
level of all else. What is not finite becomes 0. Both are counted, and so are samples that a header
promises and a file does not hold: they are the caller's to report.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from sepcli.audio.ffmpeg import FfmpegDecoder, no_such_track
from sepcli.audio.sndfile import NOT_RECOGNISED
from sepcli.audio.sources import OpenFile, Source, check_disk, open_source, source_name
from sepcli.audio.whole import WholeDecoder, open_whole
from sepcli.errors import AudioError

Samples = npt.NDArray[np.float32]

BLOCK_SAMPLES = 65_536
MAX_BLOCK_VALUES = 1 << 22  # samples x channels of a block: 16 MiB
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 1, 768_000  # Hz
MIN_SHORT_SECONDS = 0.1  # manifests round; less is not missed
MAX_EMPTY_BYTES = 4096  # a recording without a sample, and with notes
MAX_MAGNITUDE = float(1 << 31)
# decoders of damaged lossy files make values of any size, and real ones hardly ever reach 2
MAX_LOSSY_MAGNITUDE = 4.0
LOSSY = ("MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III", "VORBIS", "OPUS", "LOSSY")
Decoder = WholeDecoder | FfmpegDecoder


@dataclass(frozen=True)
class AudioInfo:
    """What a recording's header says.

    Attributes:
        sample_rate: In Hz.
        num_channels: Channels per sample.
        num_samples: Samples per channel by the header; None when it does not say. A damaged file
            may hold fewer: see `AudioReader.num_missing`.
        format: libsndfile's name of the container (`WAV`, `FLAC` …), or `FFMPEG`.
        subtype: libsndfile's name of the encoding (`PCM_16` …).
    """

    sample_rate: int
    num_channels: int
    num_samples: int | None
    format: str
    subtype: str


class Sanitizer:
    """Makes every value finite and bounded, and counts those that were not.

    Args:
        limit: The largest magnitude.
    """

    def __init__(self, limit: float = MAX_MAGNITUDE) -> None:
        self._limit = limit
        self._num_replaced = self._num_limited = 0

    def sanitized(self, block: Samples) -> Samples:
        """Return a block with 0 for what is not finite, and with nothing beyond the limit."""
        limit = self._limit
        if -limit <= block.min(initial=0.0) and block.max(initial=0.0) <= limit:  # no NaN is
            return block
        finite = np.isfinite(block)
        block = np.where(finite, block, np.float32(0))
        self._num_replaced += int(block.size - np.count_nonzero(finite))
        self._num_limited += int(np.count_nonzero(np.abs(block) > limit))
        return np.clip(block, np.float32(-limit), np.float32(limit))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user should know of the values so far, a line each."""
        bound = "±4" if self._limit == MAX_LOSSY_MAGNITUDE else "±2^31"
        counted = (
            (self._num_replaced, "values were not finite and became 0"),
            (self._num_limited, f"values were beyond {bound} and limited"),
        )
        return tuple(f"{count} {what}" for count, what in counted if count)


class AudioReader:
    """An open recording, read once, whole or the part that `select` chose; a context manager.

    Attributes:
        info: What the header says about the whole recording.
        num_read: Samples per channel given out so far.
        num_missing: Samples that the header promised and that could not be read, those that
            became silence in the middle included; right once all blocks were read.
    """

    def __init__(self, source: Source, *, track: int | None = None) -> None:
        """Open a recording.

        Args:
            source: A path, `"-"` for standard input, or a binary stream (need not be seekable).
            track: Which audio track, from 1; None is the first.

        Raises:
            AudioError: It cannot be opened or read, has no such track, or no decoder reads it.
        """
        self._start = 0
        self._stop: int | None = None
        self.num_read = self.num_missing = 0
        self._problem, self._remarks = "", tuple[str, ...]()
        self._name = source_name(source)
        with ExitStack() as opened:
            self._file = opened.enter_context(closing(open_source(source)))
            self._decoder = opened.enter_context(closing(_decoder(self._file, self._name, track)))
            self.info = self._header()
            self._opened = opened.pop_all()  # for `close`
        is_lossy = self.info.subtype in LOSSY
        self._sanitizer = Sanitizer(MAX_LOSSY_MAGNITUDE if is_lossy else MAX_MAGNITUDE)

    def _header(self) -> AudioInfo:
        """Return what the decoder says, checked."""
        decoder = self._decoder
        rate = decoder.sample_rate
        if not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE or decoder.num_channels < 1:
            raise AudioError(
                f"sample rate outside {MIN_SAMPLE_RATE} Hz to {MAX_SAMPLE_RATE} Hz "
                f"in the header of {self._name}: {rate}",
                "the header is damaged; export the recording again",
            )
        layout = (rate, decoder.num_channels, decoder.num_samples)
        return AudioInfo(*layout, decoder.format, decoder.subtype)

    @property
    def num_expected(self) -> int | None:
        """Samples per channel of what is read, by the header; None when it does not say."""
        if (stop := self.info.num_samples) is None:
            return None
        stop = stop if self._stop is None else min(stop, self._stop)
        return max(0, stop - self._start)

    def select(self, start_seconds: float | None, stop_seconds: float | None) -> None:
        """Read only from `start_seconds` to `stop_seconds`; None is the beginning or the end.

        Raises:
            AudioError: The recording ends before that part begins, or no sample lies in it.
        """
        rate = self.info.sample_rate
        self._start = round((start_seconds or 0.0) * rate)
        self._stop = None if stop_seconds is None else round(stop_seconds * rate)
        is_known = self.info.format != "FLAC"  # which shows only at its end that it holds more
        begin = _plain(start_seconds or 0.0)
        if stop_seconds is not None and round(stop_seconds * rate) <= self._start:
            message = f"no sample from {begin} to {_plain(stop_seconds)} s: {self._name}"
            raise AudioError(message, "let the part end later")
        if self._start > 0 and self.num_expected == 0 and is_known:
            raise AudioError(f"recording ends before {begin} s: {self._name}", "begin earlier")

    def blocks(self, block_samples: int = BLOCK_SAMPLES) -> Iterator[Samples]:
        """Yield the samples in order, `[samples, channels]`, at most `block_samples` at a time.

        Recordings with very many channels come in shorter blocks, so that memory stays bounded.

        Raises:
            AudioError: Not one of the samples that there should be can be read, the disk fails, or
                the recording ends before the part that was selected.
        """
        decoder = self._decoder
        step = max(1, min(block_samples, MAX_BLOCK_VALUES // self.info.num_channels))
        position = decoder.skip(self._start) if self._start else 0
        while position >= self._start and (self._stop is None or position < self._stop):
            want = step if self._stop is None else min(step, self._stop - position)
            block = decoder.read(want)
            position += len(block)
            self.num_read += len(block)
            if len(block):
                yield self._sanitizer.sanitized(block)
            if len(block) < want:
                break
        if self._start and not self.num_read:
            check_disk(self._file, self._name)
            raise AudioError(
                f"the recording ends before the start that was asked for: {self._name}",
                f"it holds {position / self.info.sample_rate:.3f} seconds",
            )
        self._account(decoder)

    def _account(self, decoder: Decoder) -> None:
        """Note what is missing, now that the decoder has no more."""
        check_disk(self._file, self._name)
        self.num_missing = decoder.num_silenced
        if self.num_expected is not None:
            self.num_missing += max(0, self.num_expected - self.num_read)
        if self._stop is None:
            self.num_missing += decoder.num_absent
        self._problem, self._remarks = decoder.problem, tuple(decoder.remarks)
        wanted = self.num_read if self._stop is None else self._stop - self._start
        short = (wanted - self.num_read) / self.info.sample_rate
        if short >= MIN_SHORT_SECONDS and not self.num_missing:
            self._remarks += (f"recording ends {short:.1f} s before the end that was asked for",)
        is_whole = self._start == 0 and self._stop is None
        has_bytes = is_whole and self._file.seek(0, os.SEEK_END) > MAX_EMPTY_BYTES
        has_trouble = self.num_missing or self._problem or has_bytes
        if has_trouble and self.num_read == decoder.num_silenced:
            why = f"cut off or damaged ({self._problem})".removesuffix(" ()")
            raise AudioError(
                f"no sample can be read: {self._name}", f"it is {why}; copy or export it again"
            )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know about the samples, a line each; complete after reading."""
        name = self._name
        found = [f"{remark}: {name}" for remark in self._remarks]
        if self.num_missing:
            why = f" ({self._problem})" if self._problem else ""
            found.append(f"{self.num_missing} samples could not be read{why}: {name}")
        elif self._problem:
            found.append(f"read up to a fault ({self._problem}): {name}")
        found += [f"{remark}: {name}" for remark in self._sanitizer.remarks]
        return tuple(found)

    def close(self) -> None:
        """Close the file and end a decoder that still runs; may be called twice."""
        self._opened.close()

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()


def _plain(seconds: float) -> str:
    """Return a time as one writes it, to a millionth."""
    return np.format_float_positional(seconds, precision=6, trim="-")


def _decoder(file: OpenFile, name: str, track: int | None) -> Decoder:
    """Return libsndfile's, or else ffmpeg's.

    Raises:
        AudioError: None of them reads the file, it has no such track, or the disk fails.
    """
    try:
        whole = open_whole(file)
    except NOT_RECOGNISED as cause:
        check_disk(file, name)
        if file.seek(0, os.SEEK_END) == 0:
            raise AudioError(f"empty file: {name}", "record or copy it again") from cause
    else:
        if track in (None, 1):
            return whole
        whole.close()
        if whole.format != "OGG":  # the only one of libsndfile's that can hold several
            raise no_such_track(track or 1, 1, name)
    return FfmpegDecoder(file, name, track)


def read_info(source: Source) -> AudioInfo:
    """Return what a recording's header says.

    Raises:
        AudioError: It cannot be opened, or no decoder reads it.
    """
    with AudioReader(source) as reader:
        return reader.info
