"""Recordings in and out: streamed reading, resampling, writing, finding; knows every file format.

Nothing here holds a whole recording in memory. Waveforms are float32 `[samples, channels]` with
full scale at ±1.
"""

from sepcli.audio.downmix import Downmixer, mono_blocks
from sepcli.audio.find import find_audio_files
from sepcli.audio.formats import OutputFormat, check_output_format, kept_subtype
from sepcli.audio.reader import AudioInfo, AudioReader, read_info
from sepcli.audio.resample import resample_blocks, resample_signals, resampled_length
from sepcli.audio.sndfile import read_channel_names
from sepcli.audio.together import Together
from sepcli.audio.waveform import WaveformReader
from sepcli.audio.writer import AudioWriter

__all__ = [
    "AudioInfo",
    "AudioReader",
    "AudioWriter",
    "Downmixer",
    "OutputFormat",
    "Together",
    "WaveformReader",
    "check_output_format",
    "find_audio_files",
    "kept_subtype",
    "mono_blocks",
    "read_channel_names",
    "read_info",
    "resample_blocks",
    "resample_signals",
    "resampled_length",
]
