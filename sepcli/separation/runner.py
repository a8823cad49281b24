"""Runs chunks through a network: device, precision, batches, out-of-memory back-off."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from sepcli.errors import DeviceError
from sepcli.networks import fast
from sepcli.separation.choices import Precision

Array = np.ndarray[Any, np.dtype[np.float32]]

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_ACCELERATOR_BATCH = 8  # enough to fill a GPU with chunks of some seconds; halved when it is short
_LARGEST_BATCH = 32  # beyond this a GPU is busy anyway
_MEMORY_SHARE = 0.7  # of what is free; allocators need slack
# what devices and their libraries say, where it is no OutOfMemoryError
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` takes cuda, else mps, else cpu.

    Raises:
        DeviceError: The device is unknown or not usable here; the message says why.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as cause:
        raise DeviceError(
            f"unknown device: {name}", "use auto, cpu, cuda, cuda:N or mps"
        ) from cause
    if device.type == "cuda":
        _require_cuda(device)
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("mps is not available: this is no Mac with a GPU", "use --device cpu")
    elif device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"unknown device: {name}", "use auto, cpu, cuda, cuda:N or mps")
    return device


def _require_cuda(device: torch.device) -> None:
    if torch.version.cuda is None:
        why = f"torch {torch.__version__} is a build without CUDA"
    elif not torch.cuda.is_available():
        why = "no usable NVIDIA driver or GPU was found"
    elif (device.index or 0) >= torch.cuda.device_count():
        why = f"there are {torch.cuda.device_count()} GPUs, counted from 0"
    else:
        return
    raise DeviceError(f"{device} is not available: {why}", "use --device cpu or --device auto")


def check_precision(device: torch.device, precision: Precision) -> str:
    """Return what a user should know about a precision on a device; empty for nothing.

    Raises:
        DeviceError: The device has no fast arithmetic of that kind at all.
    """
    if device.type != "cpu" or precision == "fp32":
        return ""
    if precision == "fp16":
        raise DeviceError("fp16 is slower than fp32 on a processor", "use --precision bf16")
    # older versions of torch do not tell: nothing is said then
    has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if has.get("architecture") == "x86_64" and not (has["avx512_bf16"] or has["amx_bf16"]):
        return "this processor has no bf16 instructions, --precision fp32 is faster"
    return ""


class Runner:
    """Runs a network on lists of chunks of one length.

    Args:
        network: `[batch, time] → [batch, speakers, time]`, in eval mode.
        device: Where it runs; the network is moved there; a processor gets its fast form.
        precision: `fp32`, or the type that matrix products are computed in.
        batch_size: Chunks run at once at most; None leaves the choice to the device.
        on_warning: Told when the precision does not pay here, and of each halving of the batch.

    Attributes:
        batch_size: Chunks run at once.
        network: What runs; it holds what it needs of the weights, so nobody need keep the other.

    Raises:
        DeviceError: The device cannot do the precision.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        precision: Precision = "fp32",
        batch_size: int | None = None,
        on_warning: Callable[[str], None] = lambda message: None,
    ) -> None:
        remark = check_precision(device, precision)
        if remark:
            on_warning(remark)
        self.network = network.to(device)
        if device.type == "cpu" and precision == "fp32":
            self.network = fast.optimize(self.network)
        self._device = device
        self._precision = precision
        self._on_warning = on_warning
        self._is_measured = batch_size is not None or device.type != "cuda"
        # On a CPU one chunk keeps all cores busy, and a larger batch only falls out of the caches.
        self.batch_size = batch_size or (1 if device.type == "cpu" else _ACCELERATOR_BATCH)
        self._process = os.getpid()

    def run(self, chunks: Sequence[Array]) -> list[Array]:
        """Return the estimates of each chunk, `[speakers, samples]`, in the order given.

        Args:
            chunks: Mixtures `[samples]`, all of one length.

        Raises:
            DeviceError: Memory is too short for a single chunk, estimates are not finite, or this
                process was forked from the one that made the runner.
        """
        if os.getpid() != self._process:  # torch's threads stayed there: it would wait for ever
            raise DeviceError(
                "a separator was made before this process was forked",
                "make one in this process",
            )
        estimates: list[Array] = []
        while len(estimates) < len(chunks):
            size = self.batch_size if self._is_measured else 1
            batch = chunks[len(estimates) : len(estimates) + size]
            try:
                estimates.extend(
                    self._forward(batch) if self._is_measured else self._measure(batch)
                )
            except RuntimeError as cause:
                if not _is_out_of_memory(cause):
                    raise
                # The traceback's frames hold the tensors of the batch: let go of them.
                self._shrink(len(batch), cause.with_traceback(None))
        return estimates

    def _measure(self, chunks: Sequence[Array]) -> list[Array]:
        """Run one chunk alone and choose the batch size by the memory that it took."""
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        estimates = self._forward(chunks)
        peak = torch.cuda.max_memory_allocated(self._device) - before
        free, _ = torch.cuda.mem_get_info(self._device)
        self.batch_size = fitting_batch(peak, free)
        self._is_measured = True
        return estimates

    def _forward(self, chunks: Sequence[Array]) -> list[Array]:
        mixture = torch.from_numpy(np.stack(chunks))
        if self._device.type == "cuda":
            mixture = mixture.pin_memory()
        with torch.inference_mode(), self._autocast():
            estimates = self.network(mixture.to(self._device, non_blocking=True))
        result: Array = estimates.float().cpu().numpy()
        if not np.isfinite(result).all():
            hint = "use --precision fp32" if self._precision != "fp32" else "try another model"
            raise DeviceError("the network gave values that are not finite", hint)
        return list(result)

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision == "fp32":
            return nullcontext()
        return torch.autocast(self._device.type, dtype=_DTYPES[self._precision])

    def _shrink(self, used: int, cause: BaseException) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if used == 1:
            raise DeviceError(
                f"out of memory on {self._device} with a single chunk",
                "use a shorter --chunk, --precision bf16, or --device cpu",
            ) from cause
        self.batch_size = used // 2
        self._on_warning(f"out of memory: batch size is now {self.batch_size}")


def fitting_batch(chunk_bytes: int, free_bytes: int) -> int:
    """Return how many chunks to run at once, of which one needs `chunk_bytes` of memory."""
    fitting = int(_MEMORY_SHARE * free_bytes) // max(chunk_bytes, 1)
    return min(max(fitting, 1), _LARGEST_BATCH)


def _is_out_of_memory(cause: BaseException) -> bool:
    if isinstance(cause, torch.OutOfMemoryError):
        return True
    return any(sign in str(cause) for sign in _OUT_OF_MEMORY)
