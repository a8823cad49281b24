"""Runs a network on several chunks side by side, each on its share of the processor's cores.

Two chunks on one core each take less time than one after the other on two: no core waits for the
other at the end of every layer, and what is done between layers is done twice at once. Without
lanes three networks take 13 to 25 % longer over a recording of 36 s on two cores, the default one
22 % (`python benchmarks/pipeline_overhead.py --clock wall --long 36`).
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from typing import Any, Self, TypeVar

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from sepcli.memory import loaded_function

T = TypeVar("T")

LANES = 2  # each needs memory of its own


def num_lanes(device: torch.device) -> int:
    """Return how many chunks to run side by side: one on a GPU, or where cores cannot be shared."""
    is_shared = device.type == "cpu" and torch.get_num_threads() >= LANES and _can_limit_threads()
    return LANES if is_shared else 1


class Lanes:
    """Threads that share the cores; left by an exception, they stop before their next layer.

    Args:
        network: What runs in them.
        count: How many, from `num_lanes`.
    """

    def __init__(self, network: nn.Module, count: int) -> None:
        self._stopping = threading.Event()
        self._threads: set[int] = set()  # others may run the network too
        share = max(torch.get_num_threads() // count, 1)
        self._pool = ThreadPoolExecutor(count, "network", partial(self._begin, share))
        self._unwatched = list(network.modules()) if count > 1 else []  # until there is work
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._stopping.set()
        self._pool.shutdown(cancel_futures=True)
        for hook in self._hooks:
            hook.remove()

    def start(self, call: Callable[..., T], *arguments: Any) -> Future[T]:
        """Call `call` in the next lane that is free."""
        while self._unwatched:
            module = self._unwatched.pop()
            self._hooks.append(module.register_forward_pre_hook(self._stop_if_told))
        future: Future[T] = self._pool.submit(call, *arguments)
        return future

    def _begin(self, share: int) -> None:
        self._threads.add(threading.get_ident())
        _limit_threads(share)

    def _stop_if_told(self, *_: object) -> None:
        if self._stopping.is_set() and threading.get_ident() in self._threads:
            raise InterruptedError("the run ends")


def _limit_threads(count: int) -> None:
    """Make torch use `count` threads for what the calling thread asks of it.

    `torch.set_num_threads` would change MKL's number in all threads, and MKL fails to factor
    matrices once that was set to more than one.
    """
    torch.get_num_threads()  # the first call in a thread sets the number
    loaded_function("omp_set_num_threads")(count)


@cache
def _can_limit_threads() -> bool:
    """Return whether torch's threads come from an OpenMP library that can be reached."""
    if loaded_function("omp_set_num_threads") is None:
        return False
    with ThreadPoolExecutor(1, initializer=partial(_limit_threads, 1)) as pool:
        return pool.submit(torch.get_num_threads).result() == 1
