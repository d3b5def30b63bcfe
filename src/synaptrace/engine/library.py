"""The compiled library: finding it, and its structures as Python sees them (see ``job.hpp``)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from ctypes import c_double, c_int64, c_void_p
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from synaptrace.neuron import ATan, FastSigmoid, Triangle

MAX_LAYERS = 16
"""As in ``work.hpp``."""
SURROGATES = {ATan: 0, FastSigmoid: 1, Triangle: 2}
"""Their numbers in ``job.hpp``."""


class Matrix(ctypes.Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("weight", "grad", "mean", "square")),
        *((name, c_int64) for name in ("has_grad", "step")),
        *((name, c_double) for name in ("rate", "beta1", "beta2", "epsilon")),
    )


class Layer(ctypes.Structure):
    _fields_ = (
        *((name, c_int64) for name in ("inputs", "outputs", "hard", "surrogate")),
        *((name, c_double) for name in ("threshold", "beta", "lam", "scale")),
        ("weight", Matrix),
        ("recurrent", Matrix),
    )


class Job(ctypes.Structure):
    _fields_ = (
        *((name, c_int64) for name in ("is_double", "learn", "steps", "batch", "layers")),
        *((name, c_int64) for name in ("classes", "rows", "capacity", "every", "threads")),
        ("count_classes", c_int64),
        ("events", c_void_p),
        *((name, c_void_p) for name in ("lengths", "labels", "row", "class_of")),
        *((name, c_void_p) for name in ("stream_offset", "stream_index")),
        *((name, c_double) for name in ("label_threshold", "readout_decay", "confidence")),
        *((name, Matrix) for name in ("label", "label_recurrent", "readout")),
        ("layer", ctypes.POINTER(Layer)),
        ("logits", c_void_p),
        *((name, c_void_p) for name in ("losses", "rates", "spikes", "ends")),
    )


@cache
def find() -> tuple[ctypes.CDLL | None, str]:
    """The library, or None and why there is none."""
    folder = Path(__file__).parent
    files = sorted(folder.glob("_native*.so"))
    if not files:
        return None, "it was not built: no C++17 compiler was found at installation"
    try:
        library = ctypes.CDLL(str(files[0]))
        sizes = library.synaptrace_sizes
        sizes.argtypes, sizes.restype = [c_int64], c_int64
        if (sizes(0), sizes(1)) != (ctypes.sizeof(Job), ctypes.sizeof(Layer)):
            return None, f"{files[0].name} belongs to another version: install again"
        library.synaptrace_level.restype = ctypes.c_char_p
        library.synaptrace_bytes.argtypes = [ctypes.POINTER(Job)]
        library.synaptrace_bytes.restype = c_int64
        library.synaptrace_run.argtypes = [ctypes.POINTER(Job), c_void_p]
        library.synaptrace_run.restype = None
    except (OSError, AttributeError) as error:
        return None, f"{files[0].name} can't be loaded: {error}"
    return library, ""


def why() -> str:
    """Why the native engine can't be used on this machine; empty where it can."""
    return find()[1]


def level() -> str | None:
    """The instruction set that the native engine uses here; None where it can't be used."""
    library, _ = find()
    return None if library is None else library.synaptrace_level().decode()


def run(job: Job, memory: Tensor | None, fresh: bool) -> Tensor:
    """Do ``job`` and return the working memory, which the next job of the same layout may use.

    Padding must be zero and stays so; ``fresh`` says that ``memory`` was used by another layout.
    """
    library, reason = find()
    if library is None:
        raise RuntimeError(reason)
    if memory is None or fresh:
        memory = torch.zeros(library.synaptrace_bytes(job) + 64, dtype=torch.uint8)
    start = (address(memory, torch.uint8) + 63) // 64 * 64
    if job.threads > 1:
        rest()
    library.synaptrace_run(job, start)
    return memory


def rest() -> None:
    """End PyTorch's idle threads, which it starts again when it needs them.

    GNU's OpenMP lets them spin for some ten milliseconds after each operation, on the cores that
    the engine's threads would run on.
    """
    pause = find_pause()
    if pause is not None:
        pause(1)  # omp_pause_soft


@cache
def find_pause() -> Callable[[int], int] | None:
    """`omp_pause_resource_all` of the OpenMP that PyTorch has loaded, where it is GNU's."""
    try:
        pause: Callable[[int], int] = ctypes.CDLL(
            "libgomp.so.1", mode=os.RTLD_NOLOAD
        ).omp_pause_resource_all
    except (OSError, AttributeError):  # another OpenMP, another system
        return None
    return pause


def address(
    tensor: Tensor, dtype: torch.dtype, order: torch.memory_format = torch.contiguous_format
) -> int:
    """Where the engine finds a tensor's numbers: the one place that turns tensors into addresses.

    Whoever calls has copied what doesn't lie as the engine reads it.

    Raises:
        ValueError: a tensor of another dtype, not on the CPU, or not in this order in memory.
    """
    lies = tensor.layout == torch.strided and tensor.is_contiguous(memory_format=order)
    if tensor.dtype != dtype or tensor.device.type != "cpu" or tensor.is_neg() or not lies:
        raise ValueError(
            f"engine: needs {dtype} on the CPU in {order}, got {tensor.dtype} on {tensor.device} "
            f"of shape {tuple(tensor.shape)}, strides {tensor.stride() if lies else 'other'}"
        )
    return tensor.data_ptr()
