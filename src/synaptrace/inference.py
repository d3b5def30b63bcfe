"""Dense networks on the native engine: what keeps one from it, the structures that describe it, and
the sample stream alone, for logits and for spikes to count.

The engine runs sequences without Python between time steps. It reads only the weight rows of active
inputs and takes at most 32 steps at a time, so memory doesn't grow with T. Results are those of the
plain path up to rounding, numbers below the normal ones (1e-38 in float32) being taken for zeros,
and the same bits on any number of threads. `Network.forward` uses it by itself where it can.
"""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from synaptrace.layers import Dense
from synaptrace.native import library
from synaptrace.native.library import MAX_LAYERS, SURROGATES, Job, Layer, Matrix, address, why

if TYPE_CHECKING:
    from synaptrace.network import Network

LITTLE = 50_000
"""Neuron updates for which a thread more is worth its start."""


def overridden(what: object, kind: type, *inert: str) -> str | None:
    """The first method of ``kind`` that ``what`` has in another form, from a subclass or of its
    own, so that compiled code in its place would do something else; ``inert`` ones have no part."""
    made: type = type(what)
    found = changed(made, kind)
    own = vars(what).keys() & methods(kind).keys()
    return next((name for name in (*found, *sorted(own)) if name not in inert), None)


def library_class(net: Network) -> type:
    """`network.Network` among the classes of ``net``: that module imports this one."""
    return next(kind for kind in type(net).__mro__ if kind.__module__ == "synaptrace.network")


@cache
def changed(kind: type, base: type) -> tuple[str, ...]:
    """The methods of ``base`` that its subclass ``kind`` has in another form."""
    ours = methods(base)
    return tuple(k for k, method in ours.items() if inspect.getattr_static(kind, k) is not method)


@cache
def methods(kind: type) -> dict[str, Any]:
    """The methods of a class and of those that it is made of, PyTorch's and special ones apart."""
    found: dict[str, Any] = {}
    for each in reversed(kind.__mro__):
        if each.__module__.startswith("synaptrace."):
            found |= vars(each)
    return {
        k: v for k, v in found.items()
        if not k.startswith("__") and (inspect.isfunction(v) or isinstance(v, property))
    }  # fmt: skip


def unfit(net: Network, events: Tensor) -> str | None:
    """Why the engine can't run ``net`` on ``events``; None where it can."""
    if why():
        return why()
    weight = net.readout.weight
    layers = [*net.layers, net.readout]
    if any(type(layer) is not Dense for layer in layers):
        return "it has dense layers only"
    own = [overridden(layer, Dense) for layer in layers]
    own.append(overridden(net, library_class(net), "add_class"))
    if any(own):
        return f"it doesn't know a {next(filter(None, own))} of your own"
    if len(net.layers) > MAX_LAYERS:
        return f"it has at most {MAX_LAYERS} layers"
    if weight.dtype not in (torch.float32, torch.float64):
        return f"it computes in float32 or float64, not {weight.dtype}"
    if any(layer.compute not in (None, weight.dtype) for layer in [*net.layers, net.readout]):
        return "it has no bfloat16 products"
    if net.adaptive:
        return "it knows no adaptive thresholds"
    if any(type(layer.neuron.surrogate) not in SURROGATES for layer in net.layers):
        return "it doesn't know the surrogate"
    weights = [w for layer in layers for w in (layer.weight, layer.recurrent) if w is not None]
    tensors = [*weights, events]
    if any(each.device.type != "cpu" or each.layout != torch.strided for each in tensors):
        return "it runs on the CPU only"
    if any(w.dtype != weight.dtype or not w.is_contiguous() for w in weights):
        return "it needs contiguous weights of one dtype"
    return None


def describe(net: Network, weights: Sequence[Tensor], events: Tensor, learn: bool) -> Job:
    """A job without label and gradients; ``weights`` are those that the forward pass uses.

    The job holds addresses alone: tensors must outlive it.
    """
    dtype = net.readout.weight.dtype
    steps, batch = events.shape[:2]
    job = Job(
        is_double=dtype == torch.float64, learn=learn, steps=steps, batch=batch,
        layers=len(net.layers), classes=net.classes, every=steps, events=address(events, dtype),
        readout_decay=net.readout_decay,
    )  # fmt: skip
    layers = (Layer * len(net.layers))()
    for made, layer, weight in zip(layers, net.layers, weights, strict=False):
        neuron = layer.neuron
        made.outputs, made.inputs = weight.shape
        made.hard, made.surrogate = neuron.reset == "hard", SURROGATES[type(neuron.surrogate)]
        made.threshold, made.beta, made.lam = neuron.threshold, neuron.beta, neuron.lam
        made.scale = neuron.surrogate.scale
        made.weight.weight = address(weight, dtype)
        if layer.recurrent is not None:
            made.recurrent.weight = address(layer.recurrent, dtype)
    job.layer = ctypes.cast(layers, ctypes.POINTER(Layer))
    job.readout.weight = address(weights[-1], dtype)
    neurons = sum(layer.outputs for layer in layers)
    worth = int(steps) * int(batch) * neurons // LITTLE
    job.threads = max(1, min(torch.get_num_threads(), worth))
    return job


def matrices(job: Job) -> list[Matrix]:
    """All matrices of a job, in one order."""
    hidden = [m for i in range(job.layers) for m in (job.layer[i].weight, job.layer[i].recurrent)]
    return [*hidden, job.label, job.label_recurrent, job.readout]


def layout(job: Job) -> tuple[int, ...]:
    """What decides how the engine's working memory is laid out."""
    numbers = [job.is_double, job.learn, job.batch, job.classes, job.capacity, job.threads]
    numbers += [min(job.every, job.steps, 32), job.eligibility]
    numbers += [n for i in range(job.layers) for n in (job.layer[i].inputs, job.layer[i].outputs)]
    exists = [p is not None for m in matrices(job) for p in (m.weight, m.grad, m.mean)]
    return (*numbers, *map(int, exists))


def contiguous(net: Network, events: Tensor) -> Tensor:
    """events (T, B, …) as (T, B, inputs), contiguous, in the network's dtype."""
    return events.to(net.readout.weight.dtype).flatten(2).contiguous()


class Result(NamedTuple):
    """What a network did with a batch."""

    logits: Tensor
    """(B, classes) at each sample's end."""
    spikes: Tensor
    """(layers,) int64: spikes of each hidden layer, summed over samples up to their ends."""
    ends: Tensor
    """(B,) int64: the steps that a sample ran."""


@torch.no_grad()
def forward(
    net: Network, events: Tensor, lengths: Tensor | None = None, confidence: float = 0.0
) -> Result | None:
    """Run the sample stream; None where the engine can't be used.

    Args:
        events: (T, B, *in_shape).
        lengths: (B,) in steps.
        confidence: a sample ends as soon as a class is so probable, 0: it runs to its end.

    Raises:
        UserError: a shape that doesn't fit.
    """
    if not events.shape[:2].numel() or unfit(net, events) is not None:
        return None
    net.fit(events[0])
    events = contiguous(net, events)
    weights = [layer.forward_weight() for layer in [*net.layers, net.readout]]
    job = describe(net, weights, events, learn=False)
    job.confidence, dtype, whole = confidence, weights[-1].dtype, torch.int64
    if lengths is not None:
        lengths = lengths.to("cpu", whole).contiguous()
        job.lengths = address(lengths, whole)
    logits = weights[-1].new_empty(events.shape[1], net.classes)
    spikes = torch.zeros(len(net.layers), dtype=whole)
    ends = torch.empty(events.shape[1], dtype=whole)
    job.logits, job.spikes, job.ends = (
        address(logits, dtype), address(spikes, whole), address(ends, whole)
    )  # fmt: skip
    library.run(job, None, fresh=True)
    return Result(logits, spikes, ends)
