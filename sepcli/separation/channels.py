"""Recordings whose channels are apart already, as in telephone calls: each channel → a file."""

import time
from collections.abc import Iterator, Sequence

import numpy as np

from sepcli.audio import AudioReader, Together, resample_blocks, resampled_length
from sepcli.errors import AudioError, SepcliError
from sepcli.separation.batch import tidied
from sepcli.separation.jobs import STDIN, Job
from sepcli.separation.outcome import Outcome, is_done, skipped
from sepcli.separation.output_checks import (
    prepare_folder,
    refuse_unwritable,
    require_output_space,
)
from sepcli.separation.writing import OutputOptions, clipping_notes, output_format


def write_channels(jobs: Sequence[Job], options: OutputOptions) -> Iterator[Outcome]:
    """Write each channel of the recordings to a file, as it is; no network hears them.

    Args:
        jobs: Recordings with as many channels as outputs.
        options: How outputs are written.
    """
    for job in tidied(jobs):
        started = time.monotonic()
        try:
            if is_done(job, options):
                yield skipped(job)
                continue
            refuse_unwritable(job, options)
            prepare_folder(job.folder)
            source = job.source if job.source is not None else STDIN
            with AudioReader(source, track=options.track) as reader:
                reader.select(*job.span)
                num_clipped = _copy(reader, job, options)
            seconds = reader.num_read / reader.info.sample_rate
            elapsed = time.monotonic() - started
            outcome = Outcome(
                job,
                outputs=job.outputs,
                seconds=seconds,
                elapsed=elapsed,
                warnings=reader.warnings,
                notes=clipping_notes(num_clipped),
            )
        except SepcliError as error:
            outcome = Outcome(job, error)
        yield outcome


def _copy(reader: AudioReader, job: Job, options: OutputOptions) -> int:
    """Write the channels of an open recording; return how many values were limited."""
    info = reader.info
    if info.num_channels != len(job.outputs):
        raise AudioError(
            f"--channels needs {len(job.outputs)} channels, not {info.num_channels}: {job.label}",
            "leave out --channels to separate it",
        )
    rate = options.sample_rate if isinstance(options.sample_rate, int) else info.sample_rate
    kind = output_format(info, options, rate)
    expected = resampled_length(reader.num_expected or 0, info.sample_rate, rate)
    require_output_space(job.folder, info.num_channels, kind, expected)
    with Together(options.overwrite) as files:
        writers = [files.waveform(path, rate, kind, num_samples=expected) for path in job.outputs]
        for block in resample_blocks(reader.blocks(), info.sample_rate, rate, info.num_channels):
            for writer, channel in zip(writers, np.ascontiguousarray(block.T), strict=True):
                writer.write(channel)
        files.publish()
        return sum(writer.num_clipped for writer in writers)
