"""A separation, end to end, where everything is missing that only POSIX systems have."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

EXAMPLE = Path(__file__).parents[1] / "examples" / "mixture.flac"

# Libraries are loaded first: they choose for the system that they are on. `fork` and `waitpid` stay
# beneath the module `subprocess`, which is another one on Windows.
WITHOUT_POSIX = """
import ctypes, os, select, signal, subprocess, sys
import numpy, soundfile, soxr, torch, typer, yaml
import huggingface_hub, platformdirs, rich.progress, safetensors.torch, scipy.signal

KEPT = {"SIGINT", "SIGTERM", "SIGABRT", "SIGFPE", "SIGILL", "SIGSEGV", "SIG_DFL", "SIG_IGN"}
GONE = {
    os: "pread pwrite preadv fork link symlink geteuid getuid getpgid killpg mkfifo pathconf "
    "sched_getaffinity posix_fadvise posix_fallocate set_blocking get_blocking fchmod fchown "
    "O_NONBLOCK O_NOFOLLOW O_CLOEXEC O_DIRECTORY setsid nice getloadavg sysconf uname",
    select: "poll epoll",
    signal: "pthread_kill pthread_sigmask setitimer alarm sigwait siginterrupt pause",
}
for module, names in GONE.items():
    for name in names.split():
        vars(module).pop(name, None)
for name in [name for name in vars(signal) if name.startswith("SIG") and name not in KEPT]:
    delattr(signal, name)
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty"):
    sys.modules[name] = None
whole = ctypes.CDLL.__init__

def of_a_file(self, name, *arguments, **options):
    if name is None:
        raise TypeError("no library of the whole process")
    whole(self, name, *arguments, **options)

ctypes.CDLL.__init__ = of_a_file
from sepcli.__main__ import main
main()
"""


def separate(*arguments: str | Path) -> list[Path]:
    command = [sys.executable, "-c", WITHOUT_POSIX, "separate", "-m", "groupcomm-8k", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return [Path(line) for line in done.stdout.splitlines()]


def test_the_example_is_separated_without_what_only_posix_has(tmp_path: Path) -> None:
    outputs = separate(EXAMPLE, "-o", tmp_path)
    assert [path.name for path in outputs] == ["mixture_spk1.wav", "mixture_spk2.wav"]
    assert {soundfile.info(path).frames for path in outputs} == {soundfile.info(EXAMPLE).frames}
    again = separate(EXAMPLE, "-o", tmp_path, "--overwrite")
    assert again == outputs
    assert sorted(tmp_path.iterdir()) == outputs


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_what_only_ffmpeg_reads_is_separated_without_what_only_posix_has(tmp_path: Path) -> None:
    source = tmp_path / "mixture.m4a"
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", EXAMPLE, source], check=True)
    assert len(separate(source, "-o", tmp_path / "out")) == 2
