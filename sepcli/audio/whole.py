"""A recording to its real end, through libsndfile: a length in a header is a hint, not a bound.

libsndfile stops where the header says. What lies beyond is read by further decoders, each of which
sees what it needs to see: the values alone, a header with a true length, the next of
several recordings that were joined.
"""

import os
from collections.abc import Iterable, Iterator
from functools import partial
from typing import IO

import numpy as np
import numpy.typing as npt

from sepcli.audio import mpeg
from sepcli.audio.formats import VALUE_BYTES
from sepcli.audio.lengths import Sound, find_sound, wav_head
from sepcli.audio.ogg import find_links
from sepcli.audio.sndfile import NOT_RECOGNISED, SndfileDecoder
from sepcli.audio.view import Piece, View

Samples = npt.NDArray[np.float32]
Decoders = Iterator[SndfileDecoder]

LITTLE_ENDIAN = ("WAV", "WAVEX", "RF64", "W64")
FLAC_TOTAL = 21  # where the 36 bits of the number of samples begin, in the lower half of the byte
MAX_HEADER_BYTES = 1 << 16  # of formats whose lengths are not looked into
NOT_PLAIN = ("SDS",)  # 16 bits in three bytes
UNREADABLE = "a part of it cannot be read and was passed over"
LOST_BYTES = 1000  # between frames or pages; less is filling


class WholeDecoder:
    """Decoders one after the other as one recording.

    Attributes:
        sample_rate: In Hz.
        num_channels: Channels per sample.
        num_samples: Samples per channel as far as known; None where it is not.
        num_absent: Samples that the header promises beyond the end of a file that was cut off.
        format: libsndfile's name of the container.
        subtype: libsndfile's name of the encoding.
        remarks: What the user should know of the lengths, a line each; complete after reading.
    """

    def __init__(self, first: SndfileDecoder) -> None:
        self.sample_rate, self.num_channels = first.sample_rate, first.num_channels
        self.num_samples, self.num_absent = first.num_samples, 0
        self.format, self.subtype = first.format, first.subtype
        self.remarks: list[str] = []
        self._decoders = [first]
        self.following: Decoders = iter(())

    @property
    def problem(self) -> str:
        """The first complaint of a decoder; empty when there was none."""
        return next(filter(None, [decoder.problem for decoder in self._decoders]), "")

    @property
    def num_silenced(self) -> int:
        """Samples that could not be decoded and became 0, to keep the rest in place."""
        return sum([decoder.num_silenced for decoder in self._decoders])

    def read(self, num_samples: int) -> Samples:
        """Return the next samples, `[samples, channels]`; fewer than asked only at the end."""
        block = self._decoders[-1].read(num_samples)
        while len(block) < num_samples and self._advance():
            more = self._decoders[-1].read(num_samples - len(block))
            block = np.concatenate([block, more])
        return block

    def skip(self, num_samples: int) -> int:
        """Return how many samples were passed over; fewer than asked only at the end."""
        skipped = self._decoders[-1].skip(num_samples)
        while skipped < num_samples and self._advance():
            skipped += self._decoders[-1].skip(num_samples - skipped)
        return skipped

    def _advance(self) -> bool:
        """Go on to the next decoder; return whether there may be one."""
        try:
            decoder = next(self.following, None)
        except NOT_RECOGNISED:
            if UNREADABLE not in self.remarks:
                self.remarks.append(UNREADABLE)
            return True
        if decoder is None:
            return False
        layout = (decoder.sample_rate, decoder.num_channels)
        if layout != (self.sample_rate, self.num_channels):
            self.remarks.append(
                f"what follows has {layout[0]} Hz and {layout[1]} channels, and was not read"
            )
            decoder.close()
            self.following = iter(())
            return False
        self._decoders[-1].close()
        self._decoders.append(decoder)
        return True

    def replace(self, decoders: Decoders) -> None:
        """Take the first decoder and all that follow in place of the present one, not yet read."""
        self.following, present = decoders, self._decoders[-1]
        while self._decoders[-1] is present and self._advance():
            pass
        self.num_samples = self._decoders[-1].num_samples

    def close(self) -> None:
        """Close libsndfile's part; the file itself is the caller's."""
        self._decoders[-1].close()


def open_whole(file: IO[bytes]) -> WholeDecoder:
    """Return the decoder of an open, seekable file.

    Raises:
        NOT_RECOGNISED: libsndfile does not read it.
    """
    first = SndfileDecoder(file)
    try:
        place = os.lseek(file.fileno(), 0, os.SEEK_CUR)
        size = file.seek(0, os.SEEK_END)
        if first.format == "MP3":
            whole = _of_mpeg(first, file, size)
        elif first.format == "OGG":
            whole = _of_ogg(first, file, size)
        elif first.format == "FLAC":
            whole = WholeDecoder(first)
            whole.following = _after_flac(whole, first, file, size)
        else:
            whole = _of_values(first, file, size)
        file.seek(place)  # where libsndfile left it
    except BaseException:
        first.close()
        raise
    return whole


def _of_values(first: SndfileDecoder, file: IO[bytes], size: int) -> WholeDecoder:
    """Return the decoder of a file whose values are a stretch of known bytes."""
    whole = WholeDecoder(first)
    sound = find_sound(file)
    width = VALUE_BYTES.get(first.subtype, 0) * first.num_channels
    if first.num_samples is None:
        return whole
    if sound is None:
        num_left = size - first.num_samples * width
        if width and num_left > MAX_HEADER_BYTES and first.format not in NOT_PLAIN:
            whole.remarks.append(f"{num_left} bytes are beyond the length in its header, not read")
        return whole
    present = sound.stop - sound.start
    declared = present if sound.declared is None else sound.declared
    if width:
        whole.num_samples = max(first.num_samples, present // width)
        whole.num_absent = -(-sound.num_absent // width)
    elif sound.num_absent:
        whole.num_absent = round(first.num_samples * sound.num_absent / max(1, present))
    if present > max(width, declared):
        seconds = (present - declared) / max(1, declared) * first.num_samples / first.sample_rate
        whole.remarks.append(f"it goes on for {seconds:.2f} s beyond the length in its header")
    whole.following = _after_values(first, file, sound, width)
    return whole


def _after_values(first: SndfileDecoder, file: IO[bytes], sound: Sound, width: int) -> Decoders:
    """Yield a decoder of the values that libsndfile did not reach."""
    if first.problem:
        return
    if width:
        begin = sound.start + first.position * width
        if sound.stop - begin >= width:
            usual = "LITTLE" if first.format in LITTLE_ENDIAN else "BIG"
            yield SndfileDecoder(
                View(file, [(begin, sound.stop)]),
                format="RAW",
                subtype=first.subtype,
                endian=usual if first.endian == "FILE" else first.endian,
                samplerate=first.sample_rate,
                channels=first.num_channels,
            )
    elif sound.stop > sound.start + (sound.declared or 0):
        head = wav_head(sound.format_chunk)
        decoder = SndfileDecoder(View(file, [head, (sound.start, sound.stop)]))
        decoder.skip(first.position)
        yield decoder


def _after_flac(whole: WholeDecoder, first: SndfileDecoder, file: IO[bytes], size: int) -> Decoders:
    """Yield a decoder of what lies beyond the number of samples in the header."""
    file.seek(0)
    head = bytearray(file.read(FLAC_TOTAL + 5))
    is_at_declared_end = first.num_samples is not None and first.position >= first.num_samples
    if head[:4] != b"fLaC" or not is_at_declared_end:
        return
    head[FLAC_TOTAL] &= 0xF0
    head[FLAC_TOTAL + 1 :] = bytes(4)  # not known
    try:
        decoder = SndfileDecoder(View(file, [bytes(head), (len(head), size)]))
    except NOT_RECOGNISED:
        return
    if decoder.go_to(first.position):
        whole.remarks.append("it goes on beyond the length in its header")
        yield decoder
    else:
        decoder.close()


def _joined(first: SndfileDecoder, file: IO[bytes], parts: Iterable[list[Piece]]) -> WholeDecoder:
    """Return the decoder of recordings that lie in one file; `first` where none can be read."""
    whole = WholeDecoder(first)
    whole.replace(map(partial(_decoder_of, file), parts))  # a generator would end at a bad part
    return whole


def _decoder_of(file: IO[bytes], pieces: list[Piece]) -> SndfileDecoder:
    return SndfileDecoder(View(file, pieces))


def _of_mpeg(first: SndfileDecoder, file: IO[bytes], size: int) -> WholeDecoder:
    """Return the decoder of MP1, MP2 or MP3, with every frame that is there."""
    streams, num_lost = mpeg.scan(file, size)
    if not streams:
        return WholeDecoder(first)
    only = streams[0]
    is_counted = len(streams) == len(only.stretches) == 1 and only.declared == only.num_frames
    if is_counted or only.frame.layer != 3:
        whole = WholeDecoder(first)
    else:
        whole = _joined(first, file, (stream.pieces() for stream in streams))
        whole.num_samples = whole.num_samples if len(streams) == 1 else None
    missing = (only.declared or 0) - only.num_frames
    whole.num_absent = only.frame.num_samples * missing if missing > 1 else 0
    if num_lost >= LOST_BYTES:
        whole.remarks.append(f"{num_lost} bytes are not MPEG audio and were passed over")
    return whole


def _of_ogg(first: SndfileDecoder, file: IO[bytes], size: int) -> WholeDecoder:
    """Return the decoder of an Ogg file, with every recording that was joined in it."""
    links, num_lost = find_links(file, size)
    if not links or (len(links) == 1 and not links[0].ends_early):
        whole = WholeDecoder(first)
    else:
        whole = _joined(first, file, (link.pieces(file) for link in links))
        whole.num_samples = None
    if num_lost >= LOST_BYTES:
        whole.remarks.append(f"{num_lost} bytes are no pages of Ogg and were passed over")
    return whole
