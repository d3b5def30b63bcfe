"""Convolutions of spikes in the native engine, with the sums of float32.

Every product of Traces Propagation has spikes on one side. On a matrix unit (Intel AMX), which
knows bfloat16, they are exact, and the other side, a weight or an error in float32, is cut into
three bfloat16 parts that hold all its bits. Elsewhere the sixteen sums of four weights, or of four
errors, are made once and looked up. Which of the two is native/src/dispatch.cpp's to say.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor

from synaptrace.native import library, maps
from synaptrace.native.library import address
from synaptrace.native.structures import Convolution

FORWARD, GRADIENT, PARTS_OF_WEIGHT = range(3)
"""What needs memory, as in native/src/convolve/convolve.hpp."""


class PackedWeight(NamedTuple):
    """A weight (outputs, inputs, 3, 3) as the engine takes it."""

    parts: Tensor
    outputs: int
    level: int
    """The instruction set that it is packed for."""


def usable(like: Tensor, inputs: int) -> bool:
    """Whether convolutions of so many inputs in the dtype and on the device of ``like`` can be done
    here, and pay."""
    if like.dtype != torch.float32 or like.device.type != "cpu" or library.why():
        return False
    found, level = library.loaded()
    return bool(found.synaptrace_level_convolves(level, inputs))


def pack(weight: Tensor) -> PackedWeight:
    """``weight`` (outputs, inputs, 3, 3) as the engine takes it."""
    found, level = library.loaded()
    outputs, inputs = weight.shape[:2]
    job = Convolution(
        inputs=inputs, outputs=outputs, threads=torch.get_num_threads(), level=level
    )  # fmt: skip
    size = found.synaptrace_convolution_bytes(ctypes.byref(job), PARTS_OF_WEIGHT)
    parts = torch.empty(size, dtype=torch.uint8)
    weight = maps.channels_last(weight)
    source, target = maps.place(weight, weight), address(parts, torch.uint8)
    found.synaptrace_convolution_pack(ctypes.byref(job), source, target)
    return PackedWeight(parts, outputs, level)


def forward(x: Tensor, packed: PackedWeight) -> Tensor | None:
    """The convolution (rows, outputs, H, W) of x (rows, inputs, H, W).

    None where x isn't spikes.
    """
    x = maps.channels_last(x)
    out = x.new_empty(len(x), *x.shape[2:], packed.outputs).permute(0, 3, 1, 2)
    job = describe(x, packed.outputs, packed.level)
    job.out, job.parts = maps.place(out, x), address(packed.parts, torch.uint8)
    return out if run(FORWARD, job) else None


def gradient(g: Tensor, x: Tensor) -> Tensor | None:
    """∂W (outputs, inputs, 3, 3) from g (rows, outputs, H, W) and x (rows, inputs, H, W).

    None where x isn't spikes.
    """
    g, x = maps.channels_last(g), maps.channels_last(x)
    out = x.new_empty(3, 3, x.shape[1], g.shape[1])
    job = describe(x, g.shape[1], library.loaded()[1])
    job.g, job.out = maps.place(g, x), address(out, torch.float32)
    return out.permute(3, 2, 0, 1) if run(GRADIENT, job) else None


def describe(x: Tensor, outputs: int, level: int) -> Convolution:
    """A job without its results."""
    rows, inputs, height, width = x.shape
    return Convolution(
        rows=rows, height=height, width=width, inputs=inputs, outputs=outputs,
        x=maps.place(x, x), threads=torch.get_num_threads(),
        level=level,
    )  # fmt: skip


def run(what: int, job: Convolution) -> bool:
    """Do it; False where the input isn't spikes, and nothing is to be used."""
    found, _ = library.loaded()
    does = {
        FORWARD: found.synaptrace_convolution_forward,
        GRADIENT: found.synaptrace_convolution_gradient,
    }
    size = found.synaptrace_convolution_bytes(ctypes.byref(job), what)
    work = torch.empty(size + 64, dtype=torch.uint8)
    job.work = (address(work, torch.uint8) + 63) // 64 * 64
    done: int = does[what](ctypes.byref(job))
    return done == 0
