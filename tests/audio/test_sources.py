import errno
import io
import os
import socket
import struct
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.audio import sources
from sepcli.audio.reader import AudioReader
from sepcli.audio.sources import check_regular, open_source, source_name
from sepcli.errors import AudioError, OutputError

RATE = 16_000
SIGNAL = (np.arange(-3000, 3000, dtype=np.int16)[:, None]).astype(np.float32) / 32768


def encoded(format: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, SIGNAL, RATE, format=format, subtype="PCM_16")
    return file.getvalue()


def streamed(length: int) -> bytes:
    """A WAV as a program leaves it that writes to a pipe: with a chunk of its own, no lengths."""
    wav = encoded()
    extra = b"LIST" + struct.pack("<I", 5) + b"INFO!\0"
    lengths = struct.pack("<I", length)
    return wav[:4] + lengths + wav[8:36] + extra + b"data" + lengths + wav[44:]


def samples(source) -> np.ndarray:
    with AudioReader(source) as reader:
        blocks = list(reader.blocks())
        assert reader.warnings == ()
        return np.concatenate(blocks)


class Pipe(io.RawIOBase):
    """A stream that cannot seek and gives little at a time."""

    def __init__(self, data: bytes) -> None:
        self.data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self.data.read(min(size, 1000))

    def seek(self, *args: int) -> int:
        raise OSError(errno.ESPIPE, "not seekable")


@pytest.mark.parametrize("data", [encoded(), encoded("FLAC"), encoded("AIFF"), encoded("CAF")])
def test_stream_that_cannot_seek(data):
    assert np.array_equal(samples(Pipe(data)), SIGNAL)


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_wav_from_a_pipe_has_no_lengths(length):
    assert np.array_equal(samples(Pipe(streamed(length))), SIGNAL)


def test_wav_of_a_recorder_that_died(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(streamed(0))
    assert np.array_equal(samples(path), SIGNAL)


def test_wav_from_a_pipe_without_a_sample():
    data = streamed(0)[:-12_000]
    with AudioReader(Pipe(data)) as reader:
        assert list(reader.blocks()) == []
        assert (reader.info.sample_rate, reader.info.num_samples) == (RATE, 0)


def test_standard_input(monkeypatch):
    class Stdin:
        buffer = Pipe(streamed(0xFFFFFFFF))

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert np.array_equal(samples("-"), SIGNAL)
    with pytest.raises(AudioError) as caught:  # it can be read once
        AudioReader("-")
    assert caught.value.message == "nothing to read: standard input is empty"
    assert caught.value.hint == "is there a sound in what feeds it?"


def test_terminal_is_no_recording(monkeypatch):
    class Terminal(io.BytesIO):
        def isatty(self):
            return True

    class Stdin:
        buffer = Terminal(b"typed")

    for stdin in (Stdin, None):
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(AudioError, match="nothing comes in on standard input") as caught:
            AudioReader("-")
        assert caught.value.hint == "… | sepcli separate -"


def test_a_file_may_be_called_dash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("-").write_bytes(encoded())
    assert np.array_equal(samples(Path("-")), SIGNAL)
    assert np.array_equal(samples(str(tmp_path / "-")), SIGNAL)


def test_stream_that_breaks_off():
    class Broken(Pipe):
        def read(self, size=-1):
            if self.data.tell():
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    with pytest.raises(
        AudioError, match="cannot be read to its end \\(input/output error\\)"
    ) as caught:
        AudioReader(Broken(encoded()))
    assert caught.value.hint == "check the disk, or copy it again"


@pytest.mark.parametrize("fails_at", ["open", "write"])
def test_temporary_disk_that_is_full(monkeypatch, fails_at):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    def temporary(**options):
        if fails_at == "open":
            raise OSError(errno.ENOSPC, "No space left on device")
        return Full()

    monkeypatch.setattr(sources.tempfile, "TemporaryFile", temporary)
    with pytest.raises(OutputError) as caught:
        AudioReader(Pipe(encoded()))
    assert caught.value.message == (
        "no room for a temporary copy (no space left on device): the stream"
    )
    assert f"TMPDIR at a larger disk than that of {tempfile.gettempdir()}" in caught.value.hint


def test_short_writes_are_continued(monkeypatch):
    real = tempfile.TemporaryFile

    def temporary(**options):
        file = real(**options)

        class Short(io.FileIO):
            def write(self, data):
                return super().write(data[:700])

        return Short(os.dup(file.fileno()), "r+")

    monkeypatch.setattr(sources.tempfile, "TemporaryFile", temporary)
    assert np.array_equal(samples(Pipe(streamed(0))), SIGNAL)


def test_names_of_sources(tmp_path):
    assert source_name("-") == "standard input"
    assert source_name(io.BytesIO()) == "the stream"
    assert source_name(Path("a\nb")) == r"a\nb"
    assert source_name("a.wav") == "a.wav"


def test_things_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket"))
        stream = "name a recording; a stream goes in on standard input: … | sepcli separate -"
        for name, (message, hint) in {
            "pipe": ("a named pipe, not a recording", stream),
            "socket": ("a socket, not a recording", stream),
            ".": ("a folder, not a recording", stream),
            "loop": ("link leads in a circle", "name the file itself"),
            "dangling": (
                "link leads nowhere",
                "restore what it points at, or name the file itself",
            ),
            "missing": ("no such file", "check the spelling, or list the folder with ls"),
            "file/below": ("cannot be opened (not a directory)", "check the path and the disk"),
            "x" * 300: ("cannot be opened (file name too long)", "check the path and the disk"),
        }.items():
            for check in (check_regular, AudioReader):
                with pytest.raises(AudioError) as caught:
                    check(tmp_path / name)
                assert caught.value.message == f"{message}: {tmp_path / name}"
                assert caught.value.hint == hint
    with pytest.raises(AudioError, match="a device, not a recording: /dev/null"):
        check_regular(Path("/dev/null"))
    with pytest.raises(AudioError) as caught:
        check_regular(Path("a\0b"))
    assert caught.value.message == r"not a file name: a\x00b"
    assert caught.value.hint == "it holds a NUL byte"


def test_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "x.wav"
    path.write_bytes(encoded())

    def refuse(*args):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(sources.os, "open", refuse)
    with pytest.raises(AudioError) as caught:
        AudioReader(path)
    assert caught.value.message == f"not allowed to read: {path}"
    assert caught.value.hint == "check its permissions with ls -l"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux")
def test_disk_that_cannot_be_read(open_files):
    before = open_files()
    # opens as a file does, and gives an input/output error for its first byte
    with pytest.raises(AudioError, match="cannot be opened \\(input/output error\\): "):
        AudioReader(Path("/proc/self/mem"))
    assert open_files() == before


def test_file_that_became_a_pipe_does_not_hang(tmp_path, monkeypatch):
    path = tmp_path / "x.wav"
    os.mkfifo(path)
    monkeypatch.setattr(sources, "check_regular", lambda path: None)
    done = threading.Event()

    def try_it():
        with pytest.raises(AudioError):
            AudioReader(path)
        done.set()

    threading.Thread(target=try_it, daemon=True).start()
    assert done.wait(20)


def test_nothing_stays_open(tmp_path, open_files):
    (tmp_path / "cut.wav").write_bytes(streamed(0))
    (tmp_path / "text.wav").write_bytes(b"no sound at all")
    before = open_files()
    open_source(tmp_path / "cut.wav").close()
    with pytest.raises(AudioError):
        AudioReader(tmp_path / "text.wav")
    assert open_files() == before


def fail(path: Path) -> None:
    """Put a descriptor that cannot be read in place of each through which `path` is read."""
    unreadable = os.open(path, os.O_WRONLY)
    for entry in Path("/proc/self/fd").iterdir():
        number = int(entry.name)
        if number != unreadable and entry.is_symlink() and entry.resolve() == path.resolve():
            os.dup2(unreadable, number)
    os.close(unreadable)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no list of open files")
@pytest.mark.parametrize("format", ["WAV", "W64", "FLAC", "OGG", "MP3", "AIFF"])
def test_a_disk_that_fails_in_the_middle_is_an_error_and_no_end(tmp_path, capfd, format):
    path = tmp_path / f"a.{format.lower()}"
    noise = np.random.default_rng(0).standard_normal(60 * RATE).astype(np.float32) / 9
    soundfile.write(path, noise, RATE, format=format)
    with AudioReader(path) as reader:
        blocks = reader.blocks()
        next(blocks)
        fail(path)
        with pytest.raises(AudioError, match=r"^cannot be read to its end \(.*\): .*a\.") as caught:
            list(blocks)
    assert caught.value.hint == "check the disk, or copy it again"
    assert capfd.readouterr().err == ""


def test_a_file_ends_where_it_cannot_be_read_and_keeps_why(tmp_path):
    told = r"^cannot be read to its end \(bad file descriptor\): a$"
    for read in (lambda file: file.read(1), lambda file: file.readinto(bytearray(1))):
        with sources.OpenFile(os.open(tmp_path / "a", os.O_WRONLY | os.O_CREAT)) as file:
            assert not read(file)
            assert file.failure.errno == errno.EBADF
            with pytest.raises(AudioError, match=told):
                sources.check_disk(file, "a")
