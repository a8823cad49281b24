"""Keeps memory that a network freed for its next layer, where the C library is glibc."""

import ctypes
import os
from functools import cache
from typing import Any

# Parameters of glibc's mallopt, as in malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_MAX = -4
_ARENA_MAX = -8
_SETTINGS = (
    "MALLOC_",
    "GLIBC_TUNABLES",
)  # environment variables by which users decide it themselves


def keep_freed_memory() -> bool:
    """Tell the C library to hand no memory back to the system, and return whether it agreed.

    A network asks for maps of many megabytes and frees them, layer after layer. By itself glibc
    gives what is larger than a threshold, 32 MB at most, back to the system at once and asks for
    it anew: every page then costs a fault and is filled with zeros. MossFormer2 on 30 s of audio
    spends most of its time that way. For the gaps that blocks of different sizes leave, long runs
    call `return_freed_memory` now and then.

    This changes the whole process, so programs do it and the package on its own does not. Where
    there is no glibc, or environment variables already set up its allocator, nothing happens.
    """
    if any(name.startswith(_SETTINGS) for name in os.environ):
        return False
    mallopt = loaded_function("mallopt")
    if mallopt is None:
        return False
    # No block is a mapping of its own, the end of the heap is never trimmed, and all threads share
    # it: heaps of a thread's own hold 64 MB and are given back.
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_ARENA_MAX, 1))
    return all(mallopt(parameter, value) for parameter, value in settings)


def return_freed_memory() -> None:
    """Give pages that nothing uses back to the system, where the C library is glibc.

    What is kept of each chunk lies between the large blocks of the next ones, so that gaps add up
    over hours; the pages in them need not stay.
    """
    trim = loaded_function("malloc_trim")
    if trim is not None:
        trim(0)


@cache
def loaded_function(name: str) -> Any:
    """Return a function of the libraries that the process has loaded; None where there is none."""
    try:
        return getattr(ctypes.CDLL(None), name, None)
    except TypeError:  # Windows: there is no looking through all of them
        return None
