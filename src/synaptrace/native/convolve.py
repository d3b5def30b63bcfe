"""Convolutions of spikes in the native engine, on processors with a matrix unit (Intel AMX).

Every product of Traces Propagation has spikes on one side, and they are exact in bfloat16. The
other side, a weight or an error in float32, is cut into three bfloat16 parts that hold all its
bits. So the matrix unit, which knows bfloat16 alone, gives the sums of float32.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor

from synaptrace.native import library, maps
from synaptrace.native.library import address
from synaptrace.native.structures import Convolution


class AmxWeight(NamedTuple):
    """A weight (outputs, inputs, 3, 3) as the matrix unit takes it."""

    parts: Tensor
    outputs: int


def usable(like: Tensor) -> bool:
    """Whether convolutions in the dtype and on the device of ``like`` can be done here."""
    if like.dtype != torch.float32 or like.device.type != "cpu" or library.why():
        return False
    found, level = library.loaded()
    return bool(found.synaptrace_level_convolves(level))


def pack(weight: Tensor) -> AmxWeight:
    """``weight`` (outputs, inputs, 3, 3) in parts."""
    found, level = library.loaded()
    outputs, inputs = weight.shape[:2]
    numbers = 3 * 9 * -(-outputs // 32) * 32 * -(-inputs // 32) * 32
    parts = torch.empty(numbers, dtype=torch.bfloat16)
    job = Convolution(
        inputs=inputs, outputs=outputs, threads=torch.get_num_threads(), level=level
    )  # fmt: skip
    weight = maps.channels_last(weight)
    source, target = maps.place(weight, weight), address(parts, torch.bfloat16)
    found.synaptrace_convolution_pack(ctypes.byref(job), source, target)
    return AmxWeight(parts, outputs)


def forward(x: Tensor, packed: AmxWeight) -> Tensor | None:
    """The convolution (rows, outputs, H, W) of x (rows, inputs, H, W).

    None where x isn't exact in bfloat16.
    """
    x = maps.channels_last(x)
    out = x.new_empty(len(x), *x.shape[2:], packed.outputs).permute(0, 3, 1, 2)
    job = describe(x, packed.outputs)
    job.out, job.parts = maps.place(out, x), address(packed.parts, torch.bfloat16)
    return out if run("forward", job) else None


def gradient(g: Tensor, x: Tensor) -> Tensor | None:
    """∂W (outputs, inputs, 3, 3) from g (rows, outputs, H, W) and x (rows, inputs, H, W).

    None where x isn't exact in bfloat16.
    """
    g, x = maps.channels_last(g), maps.channels_last(x)
    out = x.new_empty(3, 3, x.shape[1], g.shape[1])
    job = describe(x, g.shape[1])
    job.g, job.out = maps.place(g, x), address(out, torch.float32)
    return out.permute(3, 2, 0, 1) if run("gradient", job) else None


def describe(x: Tensor, outputs: int) -> Convolution:
    """A job without its results."""
    rows, inputs, height, width = x.shape
    return Convolution(
        rows=rows, height=height, width=width, inputs=inputs, outputs=outputs,
        x=maps.place(x, x), threads=torch.get_num_threads(),
    )  # fmt: skip


def run(what: str, job: Convolution) -> bool:
    """Do it; False where the input isn't exact in bfloat16, and nothing is to be used."""
    found, job.level = library.loaded()
    size = found.synaptrace_convolution_bytes(ctypes.byref(job), what == "gradient")
    work = torch.empty(size + 64, dtype=torch.uint8)
    job.work = (address(work, torch.uint8) + 63) // 64 * 64
    done: int = getattr(found, f"synaptrace_convolution_{what}")(ctypes.byref(job))
    return done == 0
