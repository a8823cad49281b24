"""What can be written: which format takes which subtype, sample rate and number of channels.

The limits are those of libsndfile 1.2 and its encoders, checked here because some of them crash
the process instead of failing (Vorbis above 200 kHz or 255 channels).
"""

from collections.abc import Callable
from dataclasses import dataclass

from sepcli.errors import UsageError

# bytes of a value where all take the same: libsndfile finds any sample of these at once, while in
# others it may land elsewhere (Vorbis) or fail
VALUE_BYTES = {
    "PCM_S8": 1,
    "PCM_U8": 1,
    "ULAW": 1,
    "ALAW": 1,
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
}
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


@dataclass(frozen=True)
class OutputFormat:
    """One checked way to write a recording.

    Attributes:
        format: `wav`, `flac`, `ogg` or `mp3`; also the file's extension.
        subtype: libsndfile's name of the encoding.
    """

    format: str
    subtype: str

    @property
    def extension(self) -> str:
        """The file name's ending, with its dot."""
        return f".{self.format}"

    @property
    def bytes_per_value(self) -> int:
        """Bytes that one value of one channel takes, uncompressed; compressed ones take less."""
        return VALUE_BYTES.get(self.subtype, 4)


def _flac_rate(rate: int) -> bool:
    # the frame header holds the rate in Hz up to 65 535, beyond that in tens of Hz
    return 1 <= rate <= 655_350 and (rate <= 65_535 or rate % 10 == 0)


@dataclass(frozen=True)
class _Limits:
    """What one format takes; the first subtype is the default."""

    subtypes: tuple[str, ...]
    takes_rate: Callable[[int], bool]
    rates: str
    max_channels: int


FORMATS = {
    "wav": _Limits(("PCM_16", "PCM_24", "FLOAT"), lambda rate: rate >= 1, "any sample rate", 1024),
    "flac": _Limits(
        ("PCM_16", "PCM_24"), _flac_rate, "up to 65535 Hz, and multiples of 10 up to 655350 Hz", 8
    ),
    "ogg": _Limits(("VORBIS",), range(1, 200_001).__contains__, "up to 200000 Hz", 255),
    "mp3": _Limits(
        ("MPEG_LAYER_III",), MP3_RATES.__contains__, ", ".join(map(str, MP3_RATES)) + " Hz", 2
    ),
}


def check_output_format(
    format: str,
    subtype: str | None = None,
    sample_rate: int | None = None,
    num_channels: int = 1,
) -> OutputFormat:
    """Return the format to write, with its default subtype filled in.

    Args:
        format: `wav`, `flac`, `ogg` or `mp3` in any case.
        subtype: `PCM_16`, `PCM_24` or `FLOAT` in any case; None is the format's first.
        sample_rate: In Hz; None leaves the rate unchecked until it is known.
        num_channels: Channels of each file.

    Raises:
        UsageError: The combination cannot be written.
    """
    name = format.lower().lstrip(".")
    limits = FORMATS.get(name)
    if limits is None:
        raise UsageError(f"unknown output format: {format}", f"use --format {' | '.join(FORMATS)}")
    chosen = (subtype or limits.subtypes[0]).upper()
    if chosen not in limits.subtypes:
        others = [f for f, x in FORMATS.items() if chosen in x.subtypes]
        instead = f", or use --format {' | '.join(others)}" if others else ""
        if len(limits.subtypes) == 1:
            raise UsageError(
                f"{name} has one encoding only, it takes no subtype: {subtype}",
                f"leave out --subtype{instead}",
            )
        raise UsageError(
            f"{name} cannot hold the subtype: {subtype}",
            f"use --subtype {' | '.join(limits.subtypes)}{instead}",
        )
    if sample_rate is not None and not limits.takes_rate(sample_rate):
        raise UsageError(
            f"{name} cannot hold the sample rate: {sample_rate}",
            f"{name} takes {limits.rates}; use --sample-rate, or --format wav for any rate",
        )
    if not 1 <= num_channels <= limits.max_channels:
        raise UsageError(
            f"{name} cannot hold this many channels: {num_channels}",
            f"{name} takes up to {limits.max_channels}; use --format wav",
        )
    return OutputFormat(name, chosen)


# the subtype of a WAV that holds all that one of these inputs does; 16 bits do for any other
DEEP = {
    **dict.fromkeys(("PCM_24", "ALAC_20", "ALAC_24"), "PCM_24"),
    **dict.fromkeys(("PCM_32", "ALAC_32", "FLOAT", "DOUBLE"), "FLOAT"),
}


def kept_subtype(format: str, input_subtype: str) -> str | None:
    """Return the subtype that keeps the depth of an input; None is the format's usual one.

    Args:
        format: `wav`, `flac`, `ogg` or `mp3`.
        input_subtype: libsndfile's name of the input's encoding.
    """
    wanted = DEEP.get(input_subtype)
    subtypes = FORMATS[format].subtypes
    if wanted is None or len(subtypes) == 1:
        return None
    return wanted if wanted in subtypes else subtypes[-1]
