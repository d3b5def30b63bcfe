"""The compiled library: finding it, choosing an instruction set, running a sequence."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from ctypes import c_char_p, c_int64, c_void_p
from functools import cache
from operator import attrgetter
from pathlib import Path

import torch
from torch import Tensor

from synaptrace.errors import UserError
from synaptrace.native.structures import (
    Convolution,
    Fire,
    Job,
    Layer,
    Matrix,
    Outer,
    Spread,
    State,
    Step,
    description,
)
from synaptrace.surrogate import ATan, FastSigmoid, Triangle

__all__ = [
    "Job",
    "Layer",
    "Matrix",
    "State",
    "Step",
    "address",
    "find",
    "level",
    "levels",
    "lies",
    "loaded",
    "run",
    "use",
    "why",
]

MAX_LAYERS = 16
"""As in ``tp/work.hpp``."""
SURROGATES = {ATan: 0, FastSigmoid: 1, Triangle: 2}
"""Their numbers in ``tp/job.hpp``."""
LEVEL, LIBRARY = "SYNAPTRACE_LEVEL", "SYNAPTRACE_LIBRARY"
"""Environment variables: the instruction set to use, and another library file to load."""

_used: ContextVar[str | None] = ContextVar("level", default=None)


@cache
def find() -> tuple[ctypes.CDLL | None, str]:
    """The library, or None and why there is none.

    Raises:
        UserError: `LIBRARY` names one that can't be used.
    """
    named = os.environ.get(LIBRARY)
    if named:
        library, reason = load(Path(named))
        if library is None:
            raise UserError(f"{LIBRARY}: {reason}")
        return library, ""
    file = Path(__file__).with_name("_native.so")
    if not file.exists():
        return None, "it was not built: there was no C++17 compiler at installation, or it failed"
    return load(file)


def load(file: Path) -> tuple[ctypes.CDLL | None, str]:
    """The library in ``file``, or None and why it can't be used."""
    try:
        library = ctypes.CDLL(str(file.absolute()))
        library.synaptrace_abi.restype = c_char_p
        other = difference(library.synaptrace_abi().decode(), description())
        if other:
            return None, f"{file.name} belongs to another version ({other}): install again"
        sign(library)
    except (OSError, AttributeError) as error:
        return None, f"{file.name} can't be loaded: {error}"
    return library, ""


def difference(theirs: str, ours: str) -> str:
    """The first structure or field in which two descriptions differ; empty where none does."""
    if theirs == ours:
        return ""
    known = dict.fromkeys(theirs.splitlines())
    line = next((line for line in ours.splitlines() if line not in known), "another structure")
    name = line.split(":")[0]
    fields = next((other.split() for other in known if other.split(":")[0] == name), [])
    field = next((field for field in line.split()[1:] if field not in fields), "its size")
    return f"{name}: {field.split(':')[0]}"


def sign(library: ctypes.CDLL) -> None:
    """Give the library's functions their types."""
    pointer = ctypes.POINTER
    signatures: dict[str, tuple[type | None, list[type]]] = {
        "levels": (c_int64, []),
        "level_name": (c_char_p, [c_int64]),
        "level_usable": (c_int64, [c_int64]),
        "level_convolves": (c_int64, [c_int64, c_int64]),
        "bytes": (c_int64, [pointer(Job)]),
        "run": (None, [pointer(Job), c_void_p]),
        "step_bytes": (c_int64, [pointer(Step)]),
        "step": (None, [pointer(Step), c_void_p]),
        "outer_bytes": (c_int64, [pointer(Outer)]),
        "outer": (c_int64, [pointer(Outer), c_void_p]),
        "fire": (None, [pointer(Fire)]),
        "spread": (None, [pointer(Spread)]),
        "convolution_bytes": (c_int64, [pointer(Convolution), c_int64]),
        "convolution_pack": (None, [pointer(Convolution), c_void_p, c_void_p]),
        "convolution_forward": (c_int64, [pointer(Convolution)]),
        "convolution_gradient": (c_int64, [pointer(Convolution)]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"synaptrace_{name}")
        function.restype, function.argtypes = result, arguments


def why() -> str:
    """Why the native engine can't be used on this machine; empty where it can.

    Raises:
        UserError: `LEVEL` is set to an instruction set that this machine doesn't have.
    """
    level()
    return find()[1]


@cache
def numbers(library: ctypes.CDLL) -> dict[str, int]:
    """The instruction sets that this machine and ``library`` have, plainest first, with their
    numbers in dispatch.cpp."""
    usable = filter(library.synaptrace_level_usable, range(library.synaptrace_levels()))
    return {library.synaptrace_level_name(i).decode(): i for i in usable}


def levels() -> tuple[str, ...]:
    """The instruction sets that can be used here, plainest first: some of plain, avx2, avx512, amx.

    (amx is avx512 and a matrix unit for convolutions.)
    """
    library, _ = find()
    return () if library is None else tuple(numbers(library))


def level() -> str | None:
    """The instruction set that the native engine uses; None where it can't be used.

    That of `use`, else of the environment variable `LEVEL`, else the best.

    Raises:
        UserError: this machine doesn't have the one that is asked for.
    """
    named = os.environ.get(LEVEL)
    if _used.get() is None and named:
        return checked(named, LEVEL)
    library, _ = find()
    return None if library is None else _used.get() or levels()[-1]


def checked(name: str, source: str) -> str:
    """``name``, if this machine has it."""
    if name not in levels():
        have = ", ".join(levels()) or f"none: {find()[1]}"
        raise UserError(f"{source}: {name!r} is no instruction set of this machine ({have})")
    return name


@contextmanager
def use(name: str) -> Iterator[None]:
    """Use the instruction set ``name`` (see `levels`) within a ``with``, in this thread.

    Raises:
        UserError: this machine doesn't have it.
    """
    token = _used.set(checked(name, "level"))
    try:
        yield
    finally:
        _used.reset(token)


def asked() -> str | None:
    """The instruction set of the innermost `use`; None outside."""
    return _used.get()


def loaded() -> tuple[ctypes.CDLL, int]:
    """The library, and `level` as it counts.

    Raises:
        RuntimeError: there is none.
    """
    library, reason = find()
    if library is None:
        raise RuntimeError(reason)
    return library, numbers(library)[level() or "plain"]


def run(job: Job, memory: Tensor | None, fresh: bool) -> Tensor:
    """Do ``job`` and return the working memory, which the next job of the same layout may use.

    Padding must be zero and stays so; ``fresh`` says that ``memory`` was used by another layout.
    """
    library, job.level = loaded()
    if memory is None or fresh:
        memory = torch.zeros(library.synaptrace_bytes(job) + 64, dtype=torch.uint8)
    start = (address(memory, torch.uint8) + 63) // 64 * 64
    library.synaptrace_run(job, start)
    return memory


def address(
    tensor: Tensor, dtype: torch.dtype, order: torch.memory_format = torch.contiguous_format
) -> int:
    """Where the engine finds a tensor's numbers: the one place that turns tensors into addresses.

    Whoever calls has copied what doesn't lie as the engine reads it.

    Raises:
        ValueError: a tensor of another dtype, not on the CPU, or not in this order in memory.
    """
    if not lies(tensor, dtype, order):
        strides = tensor.stride() if tensor.layout == torch.strided else "other"
        raise ValueError(
            f"engine: needs {dtype} on the CPU in {order}, got {tensor.dtype} on {tensor.device} "
            f"of shape {tuple(tensor.shape)}, strides {strides}"
        )
    return tensor.data_ptr()


def lies(
    tensor: Tensor, dtype: torch.dtype, order: torch.memory_format = torch.contiguous_format
) -> bool:
    """Whether a tensor lies in memory as the engine reads it."""
    return (
        tensor.dtype is dtype
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and tensor.is_contiguous(memory_format=order)
        and not tensor.is_neg()
    )


Look = tuple[torch.dtype, torch.layout, bool, torch.Size]
"""What of a tensor says how the engine would read it, its strides apart."""
look: Callable[[Tensor], Look] = attrgetter("dtype", "layout", "is_cpu", "shape")
"""The `Look` of a tensor."""


def places(tensors: Sequence[Tensor], looks: list[Look]) -> list[int] | None:
    """Addresses of tensors that look so; None where one looks otherwise, or doesn't lie as the
    engine reads it. As steps ask for this again and again, it has no loop in Python."""
    if (
        list(map(look, tensors)) != looks
        or not all(map(Tensor.is_contiguous, tensors))
        or any(map(Tensor.is_neg, tensors))
    ):
        return None
    return list(map(Tensor.data_ptr, tensors))
