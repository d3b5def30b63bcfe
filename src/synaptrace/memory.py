"""How much memory is in use: of the process, and of tensors, byte by byte."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor


def peak_resident() -> int:
    """The most bytes that this process has had in memory so far.

    Linux keeps the mark of the process that started this one in ``ru_maxrss``, so there it is
    read from the process's own memory map. 0 where the system doesn't say (Windows).
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_memory(device: torch.device) -> int:
    """The most bytes in use so far: allocated by PyTorch on CUDA, else the process's resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_resident()


def forget_peak(device: torch.device) -> None:
    """Let `peak_memory` count from now on, where the system can: on CUDA and on Linux.

    Elsewhere a process keeps the mark of whatever it did before.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): resets VmHWM


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages behind ``tensors``, each storage once."""
    return sum({id_of(t): t.untyped_storage().nbytes() for t in tensors}.values())


def id_of(tensor: Tensor) -> int:
    """What tells storages apart while they live."""
    return int(tensor.untyped_storage()._cdata)
