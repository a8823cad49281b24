"""Recordings in and out: streamed reading, resampling, writing, finding; knows every file format.

Nothing here holds a whole recording in memory. Waveforms are float32 `[samples, channels]` with
full scale at ±1.
"""

from sepcli.audio.encodings import OutputFormat, check_output_format
from sepcli.audio.finding import find_audio_files
from sepcli.audio.names import TEMPORARY_PREFIX, create_temporary, printable
from sepcli.audio.pending import output_error
from sepcli.audio.reading import (
    AudioInfo,
    AudioReader,
    downmix,
    read_blocks,
    read_info,
)
from sepcli.audio.resampling import Resampler, resample_blocks, resampled_length
from sepcli.audio.space import remove_stale_temporaries, require_free_space
from sepcli.audio.writing import AudioWriter, commit_all

__all__ = [
    "TEMPORARY_PREFIX",
    "AudioInfo",
    "AudioReader",
    "AudioWriter",
    "OutputFormat",
    "Resampler",
    "check_output_format",
    "commit_all",
    "create_temporary",
    "downmix",
    "find_audio_files",
    "output_error",
    "printable",
    "read_blocks",
    "read_info",
    "remove_stale_temporaries",
    "require_free_space",
    "resample_blocks",
    "resampled_length",
]
