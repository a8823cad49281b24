"""A separation, end to end, where everything is missing that only POSIX systems have."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import soundfile

EXAMPLE = Path(__file__).parents[1] / "examples" / "mixture.flac"

# Libraries are loaded first: they choose for the system that they are on. `fork` and `waitpid` stay
# beneath the module `subprocess`, which is another one on Windows.
WITHOUT_POSIX = """
import ctypes, json, os, select, signal, subprocess, sys
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
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["sepcli", "separate", "-m", "groupcomm-8k", *arguments]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0, (arguments, end.code)
"""


def test_recordings_are_separated_without_what_only_posix_has(tmp_path: Path) -> None:
    example, out = str(tmp_path / "mixture.flac"), tmp_path / "out"
    samples, rate = soundfile.read(EXAMPLE, frames=16_000)
    soundfile.write(example, samples, rate)
    runs = [[example, "-o", str(out)], [example, "-o", str(out), "--overwrite"]]
    if shutil.which("ffmpeg") is not None:  # what it alone reads
        other = str(tmp_path / "other.m4a")
        subprocess.run(["ffmpeg", "-loglevel", "error", "-i", example, other], check=True)
        runs.append([other, "-o", str(out)])
    command = [sys.executable, "-c", WITHOUT_POSIX, json.dumps(runs)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    stems = ["mixture", "mixture", "other"][: len(runs)]
    outputs = [out / f"{stem}_spk{number}.wav" for stem in stems for number in (1, 2)]
    assert done.stdout.splitlines() == [str(path) for path in outputs]
    assert sorted(out.iterdir()) == sorted(set(outputs))
    assert [soundfile.info(path).frames for path in outputs[:2]] == [len(samples)] * 2
