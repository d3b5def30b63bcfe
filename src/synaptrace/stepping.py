"""One step of a dense network on the native engine, on weights and state where they lie.

A step's structures hold addresses, are made once and kept from step to step. Before it uses them a
step looks whether all that they were made from is still there (`Prepared.fits`): the same objects,
at the same addresses, of the same dtype and shape. Nothing is kept of what a tensor contains, so a
weight may change in any way. `Network.step` uses it by itself where it can.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from synaptrace.inference import describe, unfit
from synaptrace.native import library
from synaptrace.native.library import Job, State, Step, address, lies

if TYPE_CHECKING:
    from synaptrace.network import Network

Place = tuple[Tensor, int, torch.dtype, torch.Size]
"""A tensor, and where and how it lay."""


class Prepared:
    """The structures of a step, and what they were made from.

    Args:
        job: of one step, as `inference.describe` makes it.
        read: all objects whose place another could take (`reads`).
        tensors: those of them to whose addresses the structures hold.
    """

    def __init__(self, job: Job, read: list[Any], tensors: Iterable[Tensor]) -> None:
        self.job, self.read = job, read
        self.places: list[Place] = [(t, address(t, t.dtype), t.dtype, t.shape) for t in tensors]
        self.state = (State * job.layers)()
        self.step = Step(job=ctypes.pointer(job), state=self.state)
        self.level, self.work = -1, torch.empty(0, dtype=torch.uint8)

    def fits(self, read: list[Any]) -> bool:
        """Whether the structures still hold for what is read now."""
        if len(read) != len(self.read):
            return False
        for now, before in zip(read, self.read, strict=True):
            if now is not before:
                return False
        return all(
            lies(t, dtype) and t.shape == shape and address(t, dtype) == there
            for t, there, dtype, shape in self.places
        )

    def run(self) -> None:
        """Do the step."""
        found, level = library.loaded()
        if level != self.level:
            self.level = self.job.level = level
            self.work = torch.empty(found.synaptrace_step_bytes(self.step) + 64, dtype=torch.uint8)
            self.start = (address(self.work, torch.uint8) + 63) // 64 * 64
        found.synaptrace_step(self.step, self.start)


class Held:
    """What a network's steps keep, in each thread its own; a copy of the network begins anew."""

    def __init__(self) -> None:
        self.here = threading.local()

    def __reduce__(self) -> tuple[type[Held], tuple[()]]:
        return Held, ()


def watched() -> bool:
    """Whether somebody looks at PyTorch's operations or traces them, who would see none here."""
    return bool(
        torch._C._len_torch_dispatch_stack()
        or torch._C._are_functorch_transforms_active()
        or torch.compiler.is_compiling()
    )


def unstandardised(net: Network) -> bool:
    """Whether the forward pass uses the weights as they are."""
    return not any(layer.standardise for layer in [*net.layers, net.readout])


def reads(net: Network) -> list[Any]:
    """All that a step reads of a network and that may be another object at the next one. (A method
    that is put on an instance shows in how much its ``vars`` hold.)"""
    readout = net.readout
    found: list[Any] = [readout.weight, readout.compute, readout.standardise, net.readout_decay]
    found += (len(vars(net)), len(vars(readout)), type(net), net.layers)
    for layer in net.layers:
        found += (
            layer.weight, layer.recurrent, layer.neuron, layer.compute, layer.standardise,
            len(vars(layer)),
        )  # fmt: skip
    return found


def weights(net: Network) -> list[Tensor]:
    """The hidden layers' weights and the readout's, as the forward pass uses them."""
    return [layer.weight for layer in [*net.layers, net.readout]]


def all_weights(net: Network) -> list[Tensor]:
    """`weights` and the recurrent ones."""
    own = [layer.recurrent for layer in net.layers if layer.recurrent is not None]
    return [*weights(net), *own]


def prepare(net: Network, x: Tensor) -> Prepared | None:
    """The structures for a step of the sample stream; None where the engine can't do it."""
    if unfit(net, x) is not None or not unstandardised(net):
        return None
    job = describe(net, weights(net), x[None], learn=False)
    return Prepared(job, [*reads(net), len(x)], all_weights(net))


def step(net: Network, x: Tensor, before: Any) -> tuple[Any, ...] | None:
    """`Network.step` without a graph; None where the engine can't be used.

    Args:
        x: (B, *in_shape) as `Network.fit` gives it.
        before: the state before the step, None at the start.

    Returns:
        membranes, spikes and logits after it.
    """
    if not len(x) or type(x) is not Tensor or watched() or torch.is_autocast_enabled("cpu"):
        return None
    x = x.flatten(1).contiguous()
    here = vars(net.held.here)
    known: Prepared | None = here.get("prepared")
    if known is None or before is None or not known.fits([*reads(net), len(x)]):
        known = here["prepared"] = prepare(net, x)
        if known is None:
            return None
    before = net.initial_state(len(x)) if before is None else before
    dtype, job = x.dtype, known.job
    if not all(lies(t, dtype) for t in (*before.membrane, *before.spikes, before.logits)):
        return None
    job.events = address(x, dtype)
    membranes, spikes = [], []
    for there, u, s in zip(known.state, before.membrane, before.spikes, strict=True):
        next_u, next_s = torch.empty_like(u), torch.empty_like(s)
        there.membrane, there.spikes = address(u, dtype), address(s, dtype)
        there.next_membrane, there.next_spikes = address(next_u, dtype), address(next_s, dtype)
        membranes.append(next_u)
        spikes.append(next_s)
    logits = torch.empty_like(before.logits)
    known.step.before, job.logits = address(before.logits, dtype), address(logits, dtype)
    known.run()
    return tuple(membranes), tuple(spikes), logits
