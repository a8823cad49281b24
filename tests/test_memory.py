import ctypes
import os
import platform
import subprocess
import sys
from collections.abc import Callable

import pytest

from sepcli import memory
from sepcli.memory import keep_freed_memory, return_freed_memory

HELD = """
from pathlib import Path
from resource import getpagesize
from sepcli.memory import keep_freed_memory, return_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()

kept = keep_freed_memory()
before = resident()
block = b"x" * 64_000_000
del block
first = resident()
block = b"x" * 64_000_000
second = resident()
del block
return_freed_memory()
print(kept, *((there - before) / 64e6 for there in (first, second, resident())))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="changes glibc only")
@pytest.mark.parametrize(("setting", "kept"), [("SEPCLI_TEST", True), ("MALLOC_ARENA_MAX", False)])
def test_a_freed_block_serves_the_next_one_unless_the_user_set_the_allocator(
    setting: str, kept: bool
) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    told, freed, used, returned = subprocess.check_output(
        [sys.executable, "-c", HELD], env=clean | {setting: "4"}, text=True
    ).split()
    assert told == str(kept)
    assert float(freed) == pytest.approx(1 if kept else 0, abs=0.05)
    assert float(used) == pytest.approx(1, abs=0.05)
    assert float(returned) == pytest.approx(0, abs=0.05)


def no_libraries(name: None) -> None:
    raise TypeError("as on Windows")


@pytest.mark.parametrize("libraries", [no_libraries, lambda name: object()])
def test_other_systems_are_left_alone(
    libraries: Callable[[None], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", libraries)
    monkeypatch.setattr(memory, "loaded_function", memory.loaded_function.__wrapped__)
    assert not keep_freed_memory()
    return_freed_memory()
