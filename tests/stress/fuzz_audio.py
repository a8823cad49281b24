"""Fuzz the reader and the writer: damaged recordings must end in samples or in a SepcliError.

    python -m tests.stress.fuzz_audio --count 10000 --keep fuzz-failures

Every damaged file is made from a small generated one by a seeded mutation, so that `--first 4711
--count 1` makes file 4711 again. A worker process reads it block by block, mixes it down, resamples
it and writes it as another format; what is written is read back. A failure is: the worker dies (a
crash in a decoder), a file takes longer than `--timeout`, an exception that is no SepcliError, a
message of several lines, samples that are not finite and bounded, memory beyond `--memory`, an
output that reads back differently or leaves a temporary behind. Exit code 1 when there was any.
"""

import argparse
import collections
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sepcli.audio import AudioReader, AudioWriter, read_info, resample_blocks
from sepcli.audio.downmix import downmix
from sepcli.audio.reader import MAX_MAGNITUDE
from sepcli.errors import SepcliError
from tests.stress.damage import mutated, seed_corpus

MAX_READ_SAMPLES = 3_000_000  # a header may ask for hours of one repeated value; enough is enough
OUT_RATE = 8000
OUT_FORMATS = ("wav", "flac", "ogg", "mp3")


def check_file(path: Path, index: int) -> str:
    """Return how one damaged file ended: `read`, `read with warnings`, or an error's class.

    Raises:
        AssertionError: Something that must not happen did.
    """
    output = path.with_name(f"out.{OUT_FORMATS[index % len(OUT_FORMATS)]}")
    try:
        info = read_info(path)
        with (
            AudioReader(path) as reader,
            AudioWriter(output, OUT_RATE, overwrite=True) as writer,
        ):
            mono = map(downmix, _checked_blocks(reader))
            for block in resample_blocks(mono, info.sample_rate, OUT_RATE):
                assert np.isfinite(block).all()
                writer.write(block[: MAX_READ_SAMPLES - writer.num_written])
            writer.commit()
        _check_output(output, writer)
        outcome = "read with warnings" if reader.warnings else "read"
        assert all("\n" not in line for line in reader.warnings)
    except SepcliError as error:
        assert "\n" not in error.message + error.hint, error
        assert error.message
        outcome = type(error).__name__
    left = [p.name for p in path.parent.iterdir() if p.name.startswith(".sepcli-")]
    assert not left, left
    return outcome


def _checked_blocks(reader: AudioReader) -> Iterator[np.ndarray]:
    """Yield the blocks, each checked, until enough was read."""
    total = 0
    for block in reader.blocks(5000):
        assert block.dtype == np.float32
        assert block.shape[1] == reader.info.num_channels
        assert 0 < len(block) <= 5000
        assert (np.abs(block) <= MAX_MAGNITUDE).all()
        total += len(block)
        yield block
        if total * max(1, OUT_RATE // reader.info.sample_rate) > MAX_READ_SAMPLES:
            return
    assert total == reader.num_read


def _check_output(output: Path, writer: AudioWriter) -> None:
    """Assert that what was written is whole."""
    with AudioReader(output) as reader:
        num_samples = sum(len(block) for block in reader.blocks())
        assert num_samples == writer.num_written, (num_samples, writer.num_written)
        assert reader.warnings == ()


def work(pipe: multiprocessing.connection.Connection, folder: Path, memory: int) -> None:
    """Check the files whose numbers come through the pipe, and send each outcome back."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)  # the MP3 decoder complains there by itself
    corpus = seed_corpus()
    while True:
        index = pipe.recv()
        if index is None:
            return
        path = folder / "input"
        path.write_bytes(mutated(corpus, index))
        try:
            pipe.send((check_file(path, index), ""))
        except BaseException as error:  # everything else is what is being looked for
            pipe.send((f"FAILED {type(error).__name__}", traceback.format_exc()))


class Worker:
    """A process that checks files, replaced when it dies or hangs."""

    def __init__(self, folder: Path, memory: int) -> None:
        self.folder, self.memory = folder, memory
        self.start()

    def start(self) -> None:
        """Begin a process."""
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, self.folder, self.memory))
        self.process.start()
        theirs.close()

    def check(self, index: int, timeout: float) -> tuple[str, str]:
        """Return the outcome of one file and, where it failed, what is known."""
        self.pipe.send(index)
        try:
            if self.pipe.poll(timeout):
                outcome: tuple[str, str] = self.pipe.recv()
                return outcome
            result = ("FAILED hang", f"no answer in {timeout} s")
        except (EOFError, ConnectionResetError):
            self.process.join()
            result = (f"FAILED crash ({self.process.exitcode})", "the process died")
        self.process.kill()
        self.process.join()
        self.start()
        return result

    def stop(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self.pipe.send(None)
        self.process.join(5)
        self.process.kill()


def fuzz(first: int, count: int, timeout: float, memory: int, keep: Path | None) -> bool:
    """Return whether all went well; print the outcomes."""
    outcomes: collections.Counter[str] = collections.Counter()
    corpus = seed_corpus()
    begin, slowest = time.monotonic(), (0.0, -1)
    with tempfile.TemporaryDirectory(prefix="sepcli-fuzz-") as folder:
        worker = Worker(Path(folder), memory)
        for index in range(first, first + count):
            started = time.monotonic()
            outcome, details = worker.check(index, timeout)
            slowest = max(slowest, (time.monotonic() - started, index))
            outcomes[outcome] += 1
            if details:
                print(f"file {index}: {outcome}\n{details}", flush=True)
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{index}.bin").write_bytes(mutated(corpus, index))
        worker.stop()
    for outcome, number in outcomes.most_common():
        print(f"{number:8} {outcome}")
    seconds = time.monotonic() - begin
    print(f"{count:8} files in {seconds:.0f} s; slowest {slowest[0]:.2f} s: file {slowest[1]}")
    return not any(outcome.startswith("FAILED") for outcome in outcomes)


def main() -> int:
    """Parse the command line, fuzz, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="damaged files")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds a file may take")
    parser.add_argument("--memory", type=int, default=4 << 30, help="address space, in bytes")
    parser.add_argument("--keep", type=Path, help="folder for the files that failed")
    parser.add_argument(
        "--without-ffmpeg", action="store_true", help="libsndfile only, which is much faster"
    )
    options = parser.parse_args()
    if options.without_ffmpeg:
        os.environ["PATH"] = ""
    fine = fuzz(options.first, options.count, options.timeout, options.memory, options.keep)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
