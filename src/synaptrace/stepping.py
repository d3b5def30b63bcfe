"""One step of a dense network on the native engine, on weights and state where they lie.

A step's structures hold addresses, are made once and kept from step to step. Before it uses them a
step looks whether all that they were made from is still there (`Prepared.locate`): the same
objects, at the same addresses, of the same dtype and shape. Nothing is kept of what a weight that
learns contains, so it may change in any way. `Network.step` uses it by itself where it can.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from operator import is_
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from synaptrace.inference import describe, unfit
from synaptrace.native import library
from synaptrace.native.library import Job, Look, State, Step, address

if TYPE_CHECKING:
    from synaptrace.network import Network

Spiking = tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]
"""Membranes and spikes of each hidden layer, (B, *shape), and logits (B, classes)."""
Slot = tuple[dict[str, Any], str, Any]
"""An object, and the dictionary and name by which it is found."""


class Prepared:
    """The structures of a step, and what they were made from.

    Args:
        job: of one step, as `inference.describe` makes it.
        slots: all objects whose place another could take.
        owners: dictionaries and lists, which would grow by a method or a tensor of somebody's own.
        tensors: those to whose addresses the structures hold.
        x: the input of the next step, as the engine reads it.
    """

    def __init__(
        self, job: Job, slots: list[Slot], owners: list[Any], tensors: list[Tensor], x: Tensor
    ) -> None:
        self.job = job
        self.rooms = [room for room, _, _ in slots]
        self.names = [name for _, name, _ in slots]
        self.objects = [each for *_, each in slots]
        self.owners, self.sizes = owners, list(map(len, owners))
        self.tensors, self.looks = tensors, list(map(library.look, tensors))
        self.addresses = library.places(tensors, self.looks)
        self.many = len(tensors)
        self.given = [library.look(x)]
        self.state = (State * job.layers)()
        self.step = Step(job=ctypes.pointer(job), state=self.state)
        self.found: ctypes.CDLL | None = None
        self.work, self.start = torch.zeros(0, dtype=torch.uint8), 0
        self.level = library.asked()

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()  # addresses mean nothing to a copy, which begins without

    def takes(self, x: Tensor) -> bool:
        """Whether all that the structures were made from is as it was, and x like its input."""
        return library.look(x) == self.given[0] and self.locate((), []) is not None

    def locate(self, more: Sequence[Tensor], looks: list[Look]) -> list[int] | None:
        """Addresses of more tensors, which are to look so; None where one lies otherwise or the
        structures no longer fit. As every step asks, all loops are in functions of Python's own."""
        found = library.places([*self.tensors, *more], [*self.looks, *looks])
        if found is None or found[: self.many] != self.addresses or not self.same():
            return None
        return found[self.many :]

    def same(self) -> bool:
        """Whether all objects are where they were."""
        return list(map(len, self.owners)) == self.sizes and all(
            map(is_, map(dict.get, self.rooms, self.names), self.objects)
        )

    def layout(self) -> tuple[int, ...]:
        """What decides how the working memory is laid out."""
        job, layers = self.job, [self.job.layer[i] for i in range(self.job.layers)]
        sizes = [n for each in layers for n in (each.inputs, each.outputs)]
        own = (job.is_double, job.learn, job.eligibility, self.step.keeps_label)
        return (*own, job.batch, job.rows, job.classes, *sizes)

    def follow(self, other: Prepared) -> None:
        """Take over the working memory of structures that are no longer used, if it fits."""
        if other.start and other.level == self.level and other.layout() == self.layout():
            self.found, self.job.level = other.found, other.job.level
            self.work, self.start = other.work, other.start

    def run(self) -> None:
        """Do the step."""
        found = self.found
        if found is None or self.level != library.asked():
            self.level = library.asked()
            found, self.job.level = library.loaded()
            self.found, size = found, found.synaptrace_step_bytes(self.step)
            self.work = torch.zeros(size + 64, dtype=torch.uint8)
            self.step.has_label = False
            self.start = (address(self.work, torch.uint8) + 63) // 64 * 64
        found.synaptrace_step(self.step, self.start)


def slots(owner: nn.Module, *names: str) -> list[Slot]:
    """Where a module has what it calls by these names."""
    rooms = (vars(owner), owner._parameters, owner._buffers, owner._modules)
    return [(room, name, room[name]) for name in names for room in rooms if name in room]


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


def watch(net: Network) -> tuple[list[Slot], list[Any]]:
    """All that a step reads of a network, and the dictionaries that hold it."""
    found = slots(net, "layers", "readout", "readout_decay")
    found += slots(net.readout, "weight", "recurrent", "compute", "standardise")
    for name, layer in net.layers.named_children():  # type: ignore[attr-defined]
        found += slots(net.layers, name)  # type: ignore[arg-type]
        found += slots(layer, "weight", "recurrent", "neuron", "compute", "standardise")
    return found, [vars(each) for each in (net, *net.layers, net.readout)]


def weights(net: Network) -> list[Tensor]:
    """The hidden layers' weights and the readout's, as the forward pass uses them."""
    return [layer.weight for layer in [*net.layers, net.readout]]


def all_weights(net: Network) -> list[Tensor]:
    """`weights` and the recurrent ones."""
    own = [layer.recurrent for layer in net.layers if layer.recurrent is not None]
    return [*weights(net), *own]


class Stream(Prepared):
    """A step of the sample stream alone.

    Args:
        net: with nothing against it.
        x: (B, inputs), the input of the next step, as the engine reads it.
    """

    def __init__(self, net: Network, x: Tensor) -> None:
        job = describe(net, weights(net), x[None], learn=False)
        super().__init__(job, *watch(net), all_weights(net), x)
        rows = [(len(x), *layer.shape) for layer in net.layers]
        shapes = map(torch.Size, [*rows, *rows, (len(x), net.classes)])
        self.kept = [*self.given, *((x.dtype, x.layout, x.is_cpu, shape) for shape in shapes)]

    def advance(self, x: Tensor, before: Spiking) -> Spiking | None:
        """The state after ``before``; None where that or x (B, inputs) doesn't lie as the engine
        reads it or the structures no longer fit, and nothing was done."""
        old, n = (*before[0], *before[1], before[2]), len(self.state)
        addresses = self.locate((x, *old), self.kept)
        if addresses is None:
            return None
        self.job.events, *found = addresses
        new = list(map(torch.empty_like, old))
        places = list(map(Tensor.data_ptr, new))
        for i, there in enumerate(self.state):
            there.membrane, there.spikes = found[i], found[n + i]
            there.next_membrane, there.next_spikes = places[i], places[n + i]
        self.step.before, self.job.logits = found[-1], places[-1]
        self.run()
        return tuple(new[:n]), tuple(new[n:-1]), new[-1]


def step(net: Network, x: Tensor, before: Spiking | None) -> Spiking | None:
    """`Network.step` without a graph; None where the engine can't be used.

    Args:
        x: (B, *in_shape).
        before: membranes, spikes and logits before the step, None at the start.

    Returns:
        the same after it.

    Raises:
        UserError: a shape that doesn't fit.
    """
    if type(x) is not Tensor or watched() or torch.is_autocast_enabled("cpu"):
        return None
    here = vars(net.held.here)
    known: Stream | None = here.get("stream")
    if known is not None and before is not None:
        after = known.advance(x, before)
        if after is not None:
            return after
    x = net.fit(x).flatten(1).contiguous()
    if known is None or before is None or not known.takes(x):
        here["stream"] = None
        if not len(x) or unfit(net, x) is not None or not unstandardised(net):
            return None
        known = here["stream"] = Stream(net, x)
    return known.advance(x, net.initial_state(len(x))[:3] if before is None else before)
