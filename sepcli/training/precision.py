"""Which number format is fast on a machine: bfloat16 where its processor or accelerator has it."""

from functools import cache
from pathlib import Path
from typing import Literal

import torch

Precision = Literal["32-true", "bf16-mixed"]
CPU_INFO = Path("/proc/cpuinfo")
# Without these a product of bfloat16 matrices takes ten times as long as one of float32.
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


@cache
def has_bf16_instructions() -> bool:
    """Return whether the processor multiplies in bfloat16; False where it does not say."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not BF16_FLAGS.isdisjoint(flags.split())


def fast_matrix_dtype(device: torch.device) -> torch.dtype:
    """Return what matrix products are fastest in on a device."""
    fast = device.type == "cuda" or (device.type == "cpu" and has_bf16_instructions())
    return torch.bfloat16 if fast else torch.float32


def chosen_precision(wanted: Literal["auto"] | Precision, device: torch.device) -> Precision:
    """Return the precision to train in, `auto` resolved for a device."""
    if wanted != "auto":
        return wanted
    return "bf16-mixed" if fast_matrix_dtype(device) == torch.bfloat16 else "32-true"
