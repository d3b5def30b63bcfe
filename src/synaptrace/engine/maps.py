"""Maps of convolutional networks in the native engine: what happens between two convolutions.

PyTorch has a pass over memory for every operation; here a step of a layer's neurons is one, and
so is the error's way back through the pooling. They work on the order in memory that channels-last
tensors have.
"""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_int64, c_void_p
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synaptrace.engine.library import SURROGATES, address, find, why
from synaptrace.neuron import LIF

if TYPE_CHECKING:
    from synaptrace.network import Network


class Fire(ctypes.Structure):
    _fields_ = (
        *((name, c_int64) for name in ("is_double", "rows", "size", "samples", "hard")),
        ("surrogate", c_int64),
        *((name, c_double) for name in ("threshold", "other_threshold", "beta", "scale")),
        *((name, c_void_p) for name in ("v", "u", "s")),
        ("threads", c_int64),
    )


class Spread(ctypes.Structure):
    _fields_ = (
        *((name, c_int64) for name in ("is_double", "rows", "height", "width", "channels")),
        ("pool", c_int64),
        *((name, c_void_p) for name in ("delta", "spikes", "slope")),
        ("threads", c_int64),
    )


@cache
def library() -> ctypes.CDLL | None:
    """The compiled library with its signatures, or None."""
    found, _ = find()
    if found is None or not hasattr(found, "synaptrace_maps_sizes"):
        return None
    found.synaptrace_maps_sizes.argtypes = [c_int64]
    found.synaptrace_maps_sizes.restype = c_int64
    sizes = tuple(map(found.synaptrace_maps_sizes, (0, 1)))
    if sizes != (ctypes.sizeof(Fire), ctypes.sizeof(Spread)):
        return None
    for function, job in ((found.synaptrace_fire, Fire), (found.synaptrace_spread, Spread)):
        function.argtypes, function.restype = [ctypes.POINTER(job)], None
    return found


def obstacle(net: Network) -> str | None:
    """Why the maps of ``net`` can't be worked on here; None where they can."""
    like = net.readout.weight
    if why() or library() is None:
        return why() or "it belongs to another version: install again"
    if any(len(layer.shape) != 3 for layer in net.layers):
        return "it has no maps, or not in all layers"
    if like.device.type != "cpu" or like.dtype not in (torch.float32, torch.float64):
        return f"it computes float32 or float64 on the CPU, not {like.dtype} on {like.device.type}"
    if any(type(layer.neuron.surrogate) not in SURROGATES for layer in net.layers):
        return "it doesn't know the surrogate"
    return None


def fire(
    neuron: LIF, v: Tensor, u: Tensor, samples: int, other: float
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of neurons in place: v, their input current, becomes σ'; u is moved on.

    Args:
        v, u: (rows, channels, height, width), channels last in memory.
        samples: the first rows, with the neuron's own threshold; the rest have the other.

    Returns:
        u, s and σ', of v's shape and layout.
    """
    found = library()
    assert found is not None
    v, u = channels_last(v), channels_last(u)
    s = torch.empty_like(v)
    job = Fire(
        is_double=v.dtype == torch.float64, rows=len(v), size=v[0].numel(), samples=samples,
        hard=neuron.reset == "hard", surrogate=SURROGATES[type(neuron.surrogate)],
        threshold=neuron.threshold, other_threshold=other, beta=neuron.beta,
        scale=neuron.surrogate.scale,
        v=place(v, v), u=place(u, v), s=place(s, v), threads=torch.get_num_threads(),
    )  # fmt: skip
    found.synaptrace_fire(ctypes.byref(job))
    return u, s, v


def spread(delta: Tensor, spikes: Tensor, slope: Tensor, pool: int) -> Tensor:
    """σ' ⊙ (the transpose of max-pooling by ``pool``) δ, in place of σ' (rows, C, H, W)."""
    found = library()
    assert found is not None
    delta, spikes, slope = map(channels_last, (delta, spikes, slope))
    rows, channels, height, width = slope.shape
    job = Spread(
        is_double=slope.dtype == torch.float64, rows=rows, height=height, width=width,
        channels=channels, pool=pool, delta=place(delta, slope), spikes=place(spikes, slope),
        slope=place(slope, slope), threads=torch.get_num_threads(),
    )  # fmt: skip
    found.synaptrace_spread(ctypes.byref(job))
    return slope


def place(maps: Tensor, like: Tensor) -> int:
    """The address of maps that are channels last in memory, in the dtype of ``like``."""
    return address(maps, like.dtype, torch.channels_last)


def channels_last(maps: Tensor) -> Tensor:
    """The same maps, channels last in memory."""
    return maps.contiguous(memory_format=torch.channels_last)
