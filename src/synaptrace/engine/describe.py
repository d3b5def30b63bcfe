"""A dense network as the native engine's structures, and what keeps it from being one."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synaptrace.layers import Dense
from synaptrace.native.library import MAX_LAYERS, SURROGATES, Job, Layer, Matrix, address, why

if TYPE_CHECKING:
    from synaptrace.network import Network

LITTLE = 50_000
"""Neuron updates for which a thread more is worth its start."""


def unfit(net: Network, events: Tensor) -> str | None:
    """Why the engine can't run ``net`` on ``events``; None where it can."""
    if why():
        return why()
    weight = net.readout.weight
    if any(type(layer) is not Dense for layer in net.layers):
        return "it has dense layers only"
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
    tensors = [*net.parameters(), events]
    if any(each.device.type != "cpu" or each.layout != torch.strided for each in tensors):
        return "it runs on the CPU only"
    if any(p.dtype != weight.dtype or not p.is_contiguous() for p in net.parameters()):
        return "it needs contiguous weights of one dtype"
    return None


def describe(net: Network, kernels: Sequence[Tensor], events: Tensor, learn: bool) -> Job:
    """A job without label and gradients; ``kernels`` are the weights that the forward pass uses.

    The job holds addresses alone: tensors must outlive it.
    """
    dtype = net.readout.weight.dtype
    steps, batch = events.shape[:2]
    job = Job(
        is_double=dtype == torch.float64, learn=learn, steps=steps, batch=batch,
        layers=len(net.layers), classes=net.classes, every=steps, events=address(events),
        readout_decay=net.readout_decay,
    )  # fmt: skip
    layers = (Layer * len(net.layers))()
    for made, layer, kernel in zip(layers, net.layers, kernels, strict=False):
        neuron = layer.neuron
        made.outputs, made.inputs = kernel.shape
        made.hard, made.surrogate = neuron.reset == "hard", SURROGATES[type(neuron.surrogate)]
        made.threshold, made.beta, made.lam = neuron.threshold, neuron.beta, neuron.lam
        made.scale = neuron.surrogate.scale
        made.weight.weight, made.recurrent.weight = address(kernel), address(layer.recurrent)
    job.layer = ctypes.cast(layers, ctypes.POINTER(Layer))
    job.readout.weight = address(kernels[-1])
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
    numbers += [min(job.every, job.steps, 32)]
    numbers += [n for i in range(job.layers) for n in (job.layer[i].inputs, job.layer[i].outputs)]
    exists = [p is not None for m in matrices(job) for p in (m.weight, m.grad, m.mean)]
    return (*numbers, *map(int, exists))


def contiguous(net: Network, events: Tensor) -> Tensor:
    """events (T, B, …) as (T, B, inputs), contiguous, in the network's dtype."""
    return events.to(net.readout.weight.dtype).flatten(2).contiguous()
