import io

import numpy as np
import pytest
import soundfile

from sepcli.audio.formats import FORMATS, OutputFormat, check_output_format, kept_subtype
from sepcli.errors import UsageError


@pytest.mark.parametrize(
    ("format", "subtype", "expected"),
    [
        ("wav", None, ("wav", "PCM_16")),
        ("WAV", "float", ("wav", "FLOAT")),
        (".wav", "pcm_24", ("wav", "PCM_24")),
        ("flac", None, ("flac", "PCM_16")),
        ("flac", "PCM_24", ("flac", "PCM_24")),
        ("ogg", None, ("ogg", "VORBIS")),
        ("mp3", None, ("mp3", "MPEG_LAYER_III")),
    ],
)
def test_what_can_be_written(format, subtype, expected):
    kind = check_output_format(format, subtype)
    assert kind == OutputFormat(*expected)
    assert kind.extension == "." + expected[0]


@pytest.mark.parametrize(
    ("format", "subtype", "message", "hint"),
    [
        ("aiff", None, "unknown output format: aiff", "use --format wav | flac | ogg | mp3"),
        ("x", "PCM_16", "unknown output format: x", "use --format wav | flac | ogg | mp3"),
        (
            "flac",
            "FLOAT",
            "flac cannot hold the subtype: FLOAT",
            "use --subtype PCM_16 | PCM_24, or use --format wav",
        ),
        (
            "wav",
            "VORBIS",
            "wav cannot hold the subtype: VORBIS",
            "use --subtype PCM_16 | PCM_24 | FLOAT, or use --format ogg",
        ),
        (
            "wav",
            "PCM_7",
            "wav cannot hold the subtype: PCM_7",
            "use --subtype PCM_16 | PCM_24 | FLOAT",
        ),
        (
            "ogg",
            "PCM_16",
            "ogg has one encoding only, it takes no subtype: PCM_16",
            "leave out --subtype, or use --format wav | flac",
        ),
        (
            "mp3",
            "nonsense",
            "mp3 has one encoding only, it takes no subtype: nonsense",
            "leave out --subtype",
        ),
    ],
)
def test_what_cannot(format, subtype, message, hint):
    with pytest.raises(UsageError) as caught:
        check_output_format(format, subtype)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("format", "taken", "refused"),
    [
        ("wav", [1, 8000, 768_000], [0]),
        ("flac", [1, 8001, 65_535, 65_540, 655_350], [0, 65_536, 200_001, 655_360, 768_000]),
        ("ogg", [1, 44_101, 200_000], [0, 200_001, 768_000]),
        ("mp3", [8000, 44_100, 48_000], [0, 7999, 8001, 96_000]),
    ],
)
def test_sample_rates(format, taken, refused):
    for rate in taken:
        kind = check_output_format(format, None, rate)
        file = io.BytesIO()
        soundfile.write(file, np.zeros(100), rate, format=format, subtype=kind.subtype)
        file.seek(0)
        assert soundfile.info(file).samplerate == rate
    for rate in refused:
        with pytest.raises(
            UsageError, match=f"^{format} cannot hold the sample rate: {rate}$"
        ) as e:
            check_output_format(format, None, rate)
        assert e.value.hint.startswith(f"{format} takes ")
        assert e.value.hint.endswith("; use --sample-rate, or --format wav for any rate")


@pytest.mark.parametrize(("format", "most"), [("wav", 1024), ("flac", 8), ("ogg", 255), ("mp3", 2)])
def test_channels(format, most):
    check_output_format(format, None, 8000, most)
    for num_channels in (0, most + 1):
        with pytest.raises(UsageError) as caught:
            check_output_format(format, None, 8000, num_channels)
        assert caught.value.message == f"{format} cannot hold this many channels: {num_channels}"
        assert caught.value.hint == f"{format} takes up to {most}; use --format wav"


def test_bytes_per_value():
    sizes = {s: OutputFormat(f, s).bytes_per_value for f, x in FORMATS.items() for s in x.subtypes}
    assert sizes == {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4, "VORBIS": 4, "MPEG_LAYER_III": 4}


@pytest.mark.parametrize(
    ("format", "given", "kept"),
    [
        ("wav", "PCM_16", None),
        ("wav", "VORBIS", None),
        ("wav", "LOSSY", None),
        ("wav", "PCM_24", "PCM_24"),
        ("wav", "ALAC_24", "PCM_24"),
        ("wav", "PCM_32", "FLOAT"),
        ("wav", "DOUBLE", "FLOAT"),
        ("flac", "PCM_S8", None),
        ("flac", "PCM_24", "PCM_24"),
        ("flac", "FLOAT", "PCM_24"),
        ("ogg", "FLOAT", None),
        ("mp3", "PCM_24", None),
    ],
)
def test_depth_of_the_input_is_kept(format, given, kept):
    assert kept_subtype(format, given) == kept
