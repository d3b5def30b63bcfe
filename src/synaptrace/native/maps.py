"""Maps of convolutional networks in the native engine: what happens between two convolutions.

PyTorch has a pass over memory for every operation; here a step of a layer's neurons is one, and
so is the error's way back through the pooling. They work on the order in memory that channels-last
tensors have.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from synaptrace.native.library import SURROGATES, address, loaded, why
from synaptrace.native.structures import Fire, Spread
from synaptrace.neuron import LIF


class Layered(Protocol):
    """What `obstacle` asks of a network."""

    @property
    def layers(self) -> Iterable[Any]:
        """The hidden layers."""

    @property
    def readout(self) -> Any:
        """The readout, whose weight has the network's dtype and device."""


def obstacle(net: Layered) -> str | None:
    """Why the maps of ``net`` can't be worked on here; None where they can."""
    like = net.readout.weight
    if why():
        return why()
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
    library, level = loaded()
    v, u = channels_last(v), channels_last(u)
    s = torch.empty_like(v)
    job = Fire(
        is_double=v.dtype == torch.float64, rows=len(v), size=v[0].numel(), samples=samples,
        hard=neuron.reset == "hard", surrogate=SURROGATES[type(neuron.surrogate)],
        threshold=neuron.threshold, other_threshold=other, beta=neuron.beta,
        scale=neuron.surrogate.scale,
        v=place(v, v), u=place(u, v), s=place(s, v),
        threads=torch.get_num_threads(), level=level,
    )  # fmt: skip
    library.synaptrace_fire(ctypes.byref(job))
    return u, s, v


def membrane_error(delta: Tensor, spikes: Tensor, slope: Tensor, pool: int) -> Tensor:
    """σ' ⊙ (the transpose of max-pooling by ``pool``) δ, in place of σ' (rows, C, H, W)."""
    library, level = loaded()
    delta, spikes, slope = map(channels_last, (delta, spikes, slope))
    rows, channels, height, width = slope.shape
    job = Spread(
        is_double=slope.dtype == torch.float64, rows=rows, height=height, width=width,
        channels=channels, pool=pool, delta=place(delta, slope), spikes=place(spikes, slope),
        slope=place(slope, slope), threads=torch.get_num_threads(), level=level,
    )  # fmt: skip
    library.synaptrace_spread(ctypes.byref(job))
    return slope


def place(maps: Tensor, like: Tensor) -> int:
    """The address of maps that are channels last in memory, in the dtype of ``like``."""
    return address(maps, like.dtype, torch.channels_last)


def channels_last(maps: Tensor) -> Tensor:
    """The same maps, channels last in memory."""
    return maps.contiguous(memory_format=torch.channels_last)
