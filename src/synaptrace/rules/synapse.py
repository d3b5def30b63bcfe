"""Traces of each synapse, for the rules that need them; dense layers only.

What reaches a neuron is its layer's input x and, with recurrent weights, the layer's spikes s′ of
the step before. Here they stand side by side, (B, K) with K = I or I + H; a trace of each synapse
is (B, H, K), and the layer's W and R side by side are (H, K).

A step of such a trace reads and writes B·H·K numbers, far more than all else in the network.
Within `sequence` up to `BLOCK` steps of a linear trace wait, as the vectors they are made of, and
are then taken at once, the same up to rounding:

    ε^t_ij = d^t_i ε^{t−1}_ij + a^t_i x^t_j,  ∂_ij = Σ_b Σ_t g^t_i ε^t_ij
                              = Σ_b d^1_i c^1_i ε^0_ij + Σ_b Σ_t c^t_i a^t_i x^t_j
    c^t = g^t + d^{t+1} c^{t+1},  and c = g at the last that waits

They take min(T, BLOCK)·B·(3H + K) numbers a layer, however long the sequence is. A loop of one's
own over `step` takes every step as it comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from synaptrace.layers import Dense, Layer
from synaptrace.network import Network
from synaptrace.rules.stream import SampleStream

BLOCK = 32
"""Steps that wait at most; with 200 neurons their vectors take a sixth of what a trace takes."""


class Linear(NamedTuple):
    """A step of a linear trace and its error, in the notation above; or several, steps first."""

    d: Tensor | float
    """(B, H)"""
    a: Tensor | float
    """(B, H)"""
    x: Tensor
    """(B, K)"""
    g: Tensor
    """(B, H)"""


@dataclass
class Waiting:
    """Room for the steps of one layer's trace, and how many of them wait."""

    layer: Dense
    trace: Tensor
    room: tuple[Tensor, Tensor, Tensor, Tensor]
    """d, a, x and g of `Linear`, steps first."""
    steps: int = 0

    def take(self) -> None:
        """Take all that wait."""
        d, a, x, g = (each[: self.steps] for each in self.room)
        self.steps = 0
        take(self.layer, self.trace, d, a, x, g)


class SynapseTraces(SampleStream):
    """A rule that may let the steps of a linear trace wait (`_wait`) while it is in `sequence`."""

    telling = (0, 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1)

    def __init__(self, net: Network, *, generator: torch.Generator | None = None) -> None:
        super().__init__(net, generator=generator)
        self.waiting: dict[int, Waiting] = {}

    def _start(self, labels: Tensor) -> None:
        super()._start(labels)
        self.waiting = {}

    def _wait(self, i: int, layer: Dense, trace: Tensor, step: Linear) -> None:
        """Put off a step of the ``trace`` (B, H, K) of ``layer``, which is layer i."""
        if i not in self.waiting:
            most = BLOCK if self.steps is None else min(self.steps, BLOCK)
            batch, neurons, inputs = trace.shape
            d, a, g = (trace.new_empty(most, batch, neurons) for _ in range(3))
            x = trace.new_empty(most, batch, inputs)
            self.waiting[i] = Waiting(layer, trace, (d, a, x, g))
        waiting = self.waiting[i]
        if waiting.steps == len(waiting.room[0]):
            waiting.take()
        for all_steps, value in zip(waiting.room, step, strict=True):
            all_steps[waiting.steps] = value
        waiting.steps += 1

    def _flush(self) -> None:
        for waiting in self.waiting.values():
            if waiting.steps:
                waiting.take()
        self.waiting = {}
        super()._flush()

    def pass_over(self, steps: int) -> None:
        """As `Rule.pass_over`, the waiting ones too."""
        super().pass_over(steps)
        for waiting in self.waiting.values():
            waiting.steps += steps

    def tensors(self) -> dict[str, list[Tensor]]:
        """As `Rule.tensors`, with what steps that wait together take."""
        kept = super().tensors()
        room = [tensor for waiting in self.waiting.values() for tensor in waiting.room]
        return kept | ({"waiting": room} if room else {})


def take(layer: Dense, trace: Tensor, d: Tensor, a: Tensor, x: Tensor, g: Tensor) -> None:
    """Move ``trace`` (B, H, K) on by steps of `Linear`, all (N, B, …) and used up, and add their
    gradient to ``.grad``."""
    last = len(x) - 1
    for t in reversed(range(last)):
        g[t].addcmul_(d[t + 1], g[t + 1])
        if t + 1 < last:
            d[t + 1].mul_(d[t + 2])  # the product of this and all later ones
    accumulate(layer, d[0] * g[0], trace)
    rows, inputs = x.flatten(0, 1), layer.weight.shape[1]
    layer.accumulate(g.mul_(a).flatten(0, 1), rows[:, :inputs], rows[:, inputs:])
    trace.mul_(d[:2].prod(0)[:, :, None])
    a[:last].mul_(d[1:])
    trace.baddbmm_(a.permute(1, 2, 0), x.transpose(0, 1))


def synapses(net: Network) -> list[tuple[int, int]]:
    """(H, K) of each hidden layer."""
    sizes = []
    for layer in net.layers:
        neurons, inputs = layer.weight.shape
        sizes.append((neurons, inputs if layer.recurrent is None else inputs + neurons))
    return sizes


def beside(layer: Layer, x: Tensor, spikes: Tensor) -> Tensor:
    """x (B, I) and, if recurrent, spikes (B, H) side by side, (B, K)."""
    return x if layer.recurrent is None else torch.cat([x, spikes], 1)


def accumulate(layer: Dense, g: Tensor, trace: Tensor) -> None:
    """Add ∂[W R]_ij = Σ_b g_i ε_ij to ``.grad``: g (B, H), a trace for each synapse (B, H, K)."""
    inputs = layer.weight.shape[1]
    layer.accumulate_synapses(g, trace[:, :, :inputs], trace[:, :, inputs:])
