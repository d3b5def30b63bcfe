"""The machine's limits, measured, and the least that a batch of TP has to do.

Operations are counted sparsely: a spike costs an addition for every neuron it reaches, once in the
forward pass and once in the gradient. Bytes are those that must come from or go to memory if all
that one step leaves to the next stays in cache: events once, and weights, Adam's moments and the
gradient once for every update.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from synaptrace.bench.cases import Parts

NEURON, ADAM = 12, 12
"""Operations on a neuron in a step (membrane, reset, trace, surrogate); on a weight by Adam."""


class Limits(NamedTuple):
    gemm: float
    """Operations a second of a large float32 matrix product."""
    bandwidth: float
    """Bytes a second of a large copy, read and written."""


class Work(NamedTuple):
    operations: float
    bytes: float


def limits(size: int = 2048, megabytes: int = 512) -> Limits:
    """The best of five of each, with PyTorch's present number of threads."""
    a = torch.rand(size, size)
    out = torch.empty_like(a)
    source = torch.rand(megabytes * 2**18)
    target = torch.empty_like(source)
    product = best(lambda: torch.mm(a, a, out=out))
    copy = best(lambda: target.copy_(source))
    return Limits(2 * size**3 / product, 2 * source.nbytes / copy)


def best(job: Callable[[], object], times: int = 5) -> float:
    """Seconds of the fastest of some repetitions, after one that doesn't count."""
    taken = []
    for _ in range(times + 1):
        start = time.perf_counter()
        job()
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def ideal(parts: Parts, rates: list[float], rows: int, updates: int) -> Work:
    """What one batch of TP in a dense network costs at least.

    Args:
        rates: spikes per neuron and step of each hidden layer.
        rows: of the target stream, C.
        updates: of the weights, in the whole sequence.
    """
    net, events = parts.net, parts.events
    steps, batch = events.shape[:2]
    active = float((events != 0).sum()) / (steps * batch)  # inputs of a sample in a step
    total = 0.0
    for i, (layer, rate) in enumerate(zip(net.layers, rates, strict=True)):
        neurons = math.prod(layer.shape)
        seen = batch + (rows if i else 0)  # layer 1's target stream is the same for every batch
        own = rate * neurons if layer.recurrent is not None else 0.0
        total += 2 * seen * (active + own) * neurons
        total += NEURON * seen * neurons
        total += (6 if i else 4) * batch * rows * neurons
        active = rate * neurons
    total += batch * active * net.classes + 2 * batch * net.classes * net.readout.weight.shape[1]
    weights = sum(p.numel() for p in net.parameters())
    size = net.readout.weight.element_size()
    return Work(
        steps * total + ADAM * updates * weights,
        size * (events.numel() + 7 * updates * weights),
    )
