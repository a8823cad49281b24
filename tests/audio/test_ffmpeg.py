"""Through a real ffmpeg where there is one, and through stand-ins that misbehave."""

import io
import os
import shutil
import stat
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.audio import ffmpeg
from sepcli.audio.ffmpeg import FfmpegDecoder
from sepcli.audio.reader import AudioReader, read_info
from sepcli.errors import AudioError

RATE = 16_000
real_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


def tone(num_samples: int = 40_000) -> np.ndarray:
    time = np.arange(num_samples)[:, None] / RATE
    return (0.5 * np.sin(2 * np.pi * 440 * time + np.arange(2))).astype(np.float32)


@pytest.fixture(scope="session")
def matroska(tmp_path_factory) -> bytes:
    """A recording in a container that libsndfile does not read, lossless."""
    folder = tmp_path_factory.mktemp("matroska")
    soundfile.write(folder / "x.wav", tone(), RATE, "FLOAT")
    arguments = ["-loglevel", "error", "-i", "x.wav", "-c:a", "pcm_f32le", "x.mka"]
    subprocess.run(["ffmpeg", *arguments], check=True, cwd=folder)
    return (folder / "x.mka").read_bytes()


def au(samples: np.ndarray, rate: int = RATE, encoding: int = 6, offset: int = 28) -> bytes:
    header = struct.pack(">4s5I", b".snd", offset, 0xFFFFFFFF, encoding, rate, samples.shape[1])
    return header + bytes(max(0, offset - 24)) + samples.astype(">f4").tobytes()


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Return a function that puts a Python program in ffmpeg's place."""

    def install(program: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        path = folder / "ffmpeg"
        path.write_text(f"#!{sys.executable} -IS\nimport os, sys, time\n{program}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(folder))
        return path

    return install


@pytest.fixture
def nonsense(tmp_path) -> Path:
    path = tmp_path / "x.bin"
    path.write_bytes(b"no sound that libsndfile knows")
    return path


def emit(data: bytes) -> str:
    return f"out = sys.stdout.buffer\nout.write({data!r})\nout.flush()"


@real_ffmpeg
@pytest.mark.parametrize(
    "name", ["x.mka", "-i", "-y.mka", "concat:a|b", "a\nb", "é🎤", "no ending"]
)
def test_other_formats_whatever_the_name(tmp_path, monkeypatch, matroska, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(matroska)
    with AudioReader(Path(name)) as reader:
        samples = np.concatenate(list(reader.blocks(7777)))
    assert np.array_equal(samples, tone())
    info = reader.info
    assert (info.format, info.subtype, info.num_samples) == ("FFMPEG", "FLOAT", None)
    assert (info.sample_rate, info.num_channels) == (RATE, 2)
    assert reader.num_expected is None
    assert reader.warnings == ()
    assert [p.name for p in tmp_path.iterdir()] == [name]


@real_ffmpeg
def test_name_that_is_not_utf8(tmp_path, matroska):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mka"))
    path.write_bytes(matroska)
    assert read_info(path).num_channels == 2


@real_ffmpeg
def test_stream(matroska):
    with AudioReader(io.BytesIO(matroska)) as reader:
        assert np.array_equal(np.concatenate(list(reader.blocks())), tone())


@real_ffmpeg
@pytest.mark.parametrize(("start", "stop"), [(0, 10), (5000, 39_999), (39_999, 50_000)])
def test_part(tmp_path, matroska, start, stop):
    (tmp_path / "x").write_bytes(matroska)
    with AudioReader(tmp_path / "x") as reader:
        reader.select(start / RATE, stop / RATE)
        assert np.array_equal(np.concatenate(list(reader.blocks())), tone()[start:stop])
    with AudioReader(tmp_path / "x") as reader:
        reader.select(40_001 / RATE, None)
        with pytest.raises(AudioError, match="ends before the start") as caught:
            list(reader.blocks())
    assert caught.value.hint == "it holds 2.500 seconds"


@real_ffmpeg
def test_truncated_file_is_read_as_far_as_it_goes(tmp_path, matroska):
    (tmp_path / "x").write_bytes(matroska[: len(matroska) // 2])
    with AudioReader(tmp_path / "x") as reader:
        samples = np.concatenate(list(reader.blocks()))
    assert 15_000 < len(samples) < 21_000
    assert np.array_equal(samples, tone()[: len(samples)])


@real_ffmpeg
def test_text_is_no_recording(nonsense):
    with pytest.raises(AudioError) as caught:
        read_info(nonsense)
    assert caught.value.message == f"not a recording that can be read: {nonsense}"
    assert caught.value.hint.startswith("neither libsndfile nor ffmpeg reads it; ffmpeg says: ")
    assert "\n" not in caught.value.hint
    assert "/dev/fd" not in caught.value.hint


@real_ffmpeg
@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n",
        "ffconcat version 1.0\nfile '/etc/hostname'\n",
    ],
)
def test_playlist_of_a_stranger_is_no_recording(tmp_path, text):
    (tmp_path / "x.m3u8").write_text(text)
    with pytest.raises(AudioError, match="not a recording"):
        read_info(tmp_path / "x.m3u8")


def test_without_ffmpeg_the_hint_says_so(nonsense, monkeypatch, open_files):
    monkeypatch.setenv("PATH", "/nonexistent")
    before = open_files()
    with pytest.raises(AudioError) as caught:
        read_info(nonsense)
    assert caught.value.message == f"not a format that can be read here: {nonsense}"
    assert "install ffmpeg" in caught.value.hint
    assert open_files() == before


def test_ffmpeg_that_does_not_start(nonsense, stand_in):
    stand_in("").write_bytes(b"\x7fELF not really")
    with pytest.raises(AudioError, match="ffmpeg does not start: ") as caught:
        read_info(nonsense)
    assert "ffmpeg -version" in caught.value.hint


def test_samples_header_and_end(nonsense, stand_in):
    samples = tone(1000)
    for offset in (24, 28, 100):
        stand_in(emit(au(samples, 8000, offset=offset)))
        with AudioReader(nonsense) as reader:
            assert np.array_equal(np.concatenate(list(reader.blocks(300))), samples)
            assert reader.info.sample_rate == 8000


def test_half_a_sample_at_the_end_is_dropped(nonsense, stand_in):
    stand_in(emit(au(tone(1000))[:-3]))
    with AudioReader(nonsense) as reader:
        assert np.array_equal(np.concatenate(list(reader.blocks())), tone(999 + 1)[:999])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".snd",
        b"RIFF" + au(tone(10))[4:],
        au(tone(10), encoding=3),
        au(tone(10), offset=1 << 20),
    ],
    ids=("nothing", "magic", "riff", "encoding", "offset"),  # they reach programs' environments
)
def test_what_is_not_the_expected_header(nonsense, stand_in, data):
    stand_in(emit(data))
    with pytest.raises(AudioError, match="not a recording that can be read"):
        read_info(nonsense)


@pytest.mark.parametrize(("rate", "num_channels"), [(0, 1), (768_001, 1), (8000, 0)])
def test_absurd_headers(nonsense, stand_in, rate, num_channels):
    stand_in(emit(au(np.zeros((10, num_channels)), rate)))
    with pytest.raises(AudioError):
        read_info(nonsense)


def test_complaint_after_some_samples_is_a_warning(nonsense, stand_in):
    complain = (
        "sys.stderr.write('noise\\nfile:/dev/fd/0: corrupt \\x1b[31m input\\n\\n')\nsys.exit(3)"
    )
    stand_in(emit(au(tone(500))) + "\n" + complain)
    with AudioReader(nonsense) as reader:
        assert len(np.concatenate(list(reader.blocks()))) == 500
    (warning,) = reader.warnings
    assert warning == f"read up to a fault ({nonsense}: corrupt [31m input): {nonsense}"


def test_complaint_before_any_sample_is_an_error(nonsense, stand_in):
    stand_in(emit(au(tone(0))) + "\nsys.exit(3)")
    with AudioReader(nonsense) as reader, pytest.raises(AudioError) as caught:
        list(reader.blocks())
    assert caught.value.message == f"no sample can be read: {nonsense}"
    assert caught.value.hint == "it is cut off or damaged (exit code 3); copy or export it again"


def test_complaints_of_one_that_succeeded_are_a_warning(nonsense, stand_in):
    said = "[aac @ 0x1] [error] channel element\\n[warning] a guess\\n[info] x\\n[error] b\\n"
    stand_in(emit(au(tone(500))) + f"\nsys.stderr.write('{said}')")
    with AudioReader(nonsense) as reader:
        assert len(np.concatenate(list(reader.blocks()))) == 500
    assert reader.warnings == (
        f"ffmpeg read it with trouble ([aac @ 0x1] channel element, and 1 more): {nonsense}",
    )


def converted(folder: Path, *arguments: str) -> Path:
    """Write `in.wav`, have ffmpeg do something with it, and return what comes out."""
    soundfile.write(folder / "in.wav", tone(), RATE, "PCM_16")
    command = ["ffmpeg", "-v", "error", "-i", folder / "in.wav", *arguments]
    subprocess.run(command, check=True, cwd=folder)
    return folder / arguments[-1]


@real_ffmpeg
def test_damage_is_told_and_moves_nothing(tmp_path):
    path = converted(tmp_path, "-c:a", "aac", "-f", "adts", "x.aac")
    with AudioReader(path) as reader:
        whole = np.concatenate(list(reader.blocks()))
        assert reader.warnings == ()
    data = bytearray(path.read_bytes())
    data[4000:4600] = b"\x55" * 600
    path.write_bytes(data)
    with AudioReader(path) as reader:
        assert abs(sum(map(len, reader.blocks())) - len(whole)) <= 4096
    (warning,) = reader.warnings
    assert warning.startswith("ffmpeg read it with trouble (")


@pytest.mark.parametrize(
    ("head", "has_times"),
    [
        (b"\xff\xf1\x60\x40", False),
        (b"ID3\x04\x00\x00\x00\x00\x01\x02" + bytes(130) + b"\xff\xf9", False),
        (b"\xff\xfb\x90\x00", True),  # MP3
        (b"\x1aE\xdf\xa3", True),  # Matroska
        (b"", True),
    ],
)
def test_raw_aac_says_nothing_of_times(head: bytes, has_times: bool) -> None:
    assert ffmpeg._has_times(io.BytesIO(head)) == has_times


@real_ffmpeg
def test_damage_adds_no_time_to_raw_aac(tmp_path):
    loop = "aloop=loop=9:size=40000"
    path = converted(tmp_path, "-af", loop, "-c:a", "aac", "-f", "adts", "x.aac")
    data = bytearray(path.read_bytes())
    draw = np.random.default_rng(1)
    for place in draw.integers(len(data) // 4, 3 * len(data) // 4, 60):
        data[place] = draw.integers(256)
    with AudioReader(path) as reader:
        whole = sum(map(len, reader.blocks()))
    path.write_bytes(data)
    with AudioReader(path) as reader:
        assert 0.8 * whole < sum(map(len, reader.blocks())) <= whole


@real_ffmpeg
def test_a_gap_in_time_becomes_silence(tmp_path):
    gap = "aselect='not(between(t,0.5,1.5))'"
    path = converted(tmp_path, "-af", gap, "-c:a", "pcm_f32le", "x.mka")
    with AudioReader(path) as reader:
        samples = np.concatenate(list(reader.blocks()))
    assert abs(len(samples) - 40_000) <= 120
    assert np.abs(samples[26_000:] - tone()[26_000 : len(samples)]).max() < 0.05
    assert np.abs(samples[10_000:22_000]).max() == 0.0


@real_ffmpeg
@pytest.mark.parametrize("ending", ["mka", "m4a"])
def test_several_tracks(tmp_path, ending):
    codec = ["-c:a", "pcm_s16le" if ending == "mka" else "alac"]
    second = ["-map", "0:a", "-filter:a:0", "volume=0", "-map", "0:a"]
    path = converted(tmp_path, *second, *codec, f"x.{ending}")
    first, other = (None, 1), 2
    for track in first:
        with AudioReader(path, track=track) as reader:
            assert np.abs(np.concatenate(list(reader.blocks()))).max() == 0.0
        remark = f"2 audio tracks, the first was read (see --track): {path}"
        assert reader.warnings == ((remark,) if track is None else ())
    with AudioReader(path, track=other) as reader:
        assert np.abs(np.concatenate(list(reader.blocks())) - tone()).max() < 2**-15
    with pytest.raises(AudioError) as caught:
        AudioReader(path, track=3)
    assert caught.value.message == f"no audio track 3: {path}"
    assert caught.value.hint == "it has 2 audio tracks"


def test_a_wav_has_one_track(tmp_path):
    soundfile.write(tmp_path / "x.wav", tone(), RATE)
    with AudioReader(tmp_path / "x.wav", track=1) as reader:
        assert reader.info.num_samples == 40_000
    with pytest.raises(AudioError, match=r"no audio track 2: .*x\.wav") as caught:
        AudioReader(tmp_path / "x.wav", track=2)
    assert caught.value.hint == "it has one audio track"


@real_ffmpeg
@pytest.mark.parametrize(
    ("codec", "subtype"),
    [
        (["pcm_s24le"], "PCM_24"),
        (["pcm_f32le"], "FLOAT"),
        (["pcm_s16le"], "LOSSY"),
        (["flac", "-sample_fmt", "s32"], "PCM_24"),
        (["alac", "-sample_fmt", "s32p"], "PCM_24"),
        (["aac"], "LOSSY"),
    ],
)
def test_depth_of_a_track(tmp_path, codec, subtype):
    assert read_info(converted(tmp_path, "-c:a", *codec, "x.mka")).subtype == subtype


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("stubborn", [False, True])
def test_leaving_early_ends_the_process(
    nonsense, tmp_path, stand_in, monkeypatch, stubborn, open_files
):
    monkeypatch.setattr(ffmpeg, "STOP_SECONDS", 0.2)
    ignore = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if stubborn else ""
    note = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
    stand_in(ignore + note + emit(au(tone(500))) + "\ntime.sleep(600)")
    before = open_files()
    with AudioReader(nonsense) as reader:
        assert len(next(reader.blocks(100))) == 100
        pid = int((tmp_path / "pid").read_text())
        assert is_running(pid)
    assert not is_running(pid)  # ended and reaped: not even a zombie is left
    assert open_files() == before


def test_ffmpeg_that_hangs_is_ended(nonsense, stand_in, monkeypatch):
    monkeypatch.setattr(ffmpeg, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(ffmpeg, "STOP_SECONDS", 0.2)
    stand_in("time.sleep(600)")
    with pytest.raises(AudioError, match="does not get on with: ") as caught:
        read_info(nonsense)
    assert caught.value.hint


def test_flood_of_complaints_does_not_block(nonsense, stand_in):
    flood = "sys.stderr.write('x' * 1000000 + '\\n')\nsys.stderr.flush()\n"
    stand_in(flood + emit(au(tone(500))) + "\nsys.exit(1)")
    with AudioReader(nonsense) as reader:
        assert len(np.concatenate(list(reader.blocks()))) == 500
    (warning,) = reader.warnings
    assert len(warning) < 600


def test_arguments_never_hold_a_name(nonsense, stand_in, tmp_path):
    record = f"open({str(tmp_path / 'seen')!r}, 'w').write(repr((sys.argv[1:], os.read(0, 8))))\n"
    stand_in(record + emit(au(tone(5))))
    with nonsense.open("rb") as file:
        FfmpegDecoder(file, "-y").close()
    arguments, stdin = eval((tmp_path / "seen").read_text())
    assert arguments == [*ffmpeg.ARGUMENTS, *ffmpeg.IN_TIME, "-map", "0:a:0", "pipe:1"]
    assert stdin == b"no sound"
