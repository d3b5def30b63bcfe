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

A loop of one's own over `step` takes every step as it comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from synaptrace.layers import Dense, Layer
from synaptrace.network import Network
from synaptrace.rules.stream import SampleStream

BLOCK = 32
"""Steps that wait at most; with 200 neurons their vectors take a sixth of what a trace takes."""


class Linear(NamedTuple):
    """A step of a linear trace and its error, in the notation above."""

    d: Tensor
    """(B, H)"""
    a: Tensor
    """(B, H)"""
    x: Tensor
    """(B, K)"""
    g: Tensor
    """(B, H)"""


class SynapseTraces(SampleStream):
    """A rule that may let the steps of a linear trace wait (`_wait`) while it is in `sequence`."""

    def _start(self, labels: Tensor) -> None:
        super()._start(labels)
        self.waiting: dict[int, tuple[Dense, Tensor, list[Linear]]] = {}

    def _wait(self, i: int, layer: Dense, trace: Tensor, step: Linear) -> None:
        """Put off a step of the ``trace`` (B, H, K) of ``layer``, which is layer i."""
        *_, steps = self.waiting.setdefault(i, (layer, trace, []))
        steps.append(step)
        if len(steps) == BLOCK:
            self._take(i)

    def _take(self, i: int) -> None:
        take(*self.waiting.pop(i))

    def _settle(self) -> None:
        for i in list(self.waiting):
            self._take(i)
        super()._settle()


def take(layer: Dense, trace: Tensor, steps: Sequence[Linear]) -> None:
    """Move ``trace`` (B, H, K) on by ``steps`` and add their gradient to ``.grad``."""
    d, a, x, g = (torch.stack(each) for each in zip(*steps, strict=True))
    later = torch.ones_like(a)  # the factors of all later steps
    for t in reversed(range(len(steps) - 1)):
        g[t] += d[t + 1] * g[t + 1]
        later[t] = d[t + 1] * later[t + 1]
    accumulate(layer, d[0] * g[0], trace)
    rows, inputs = x.flatten(0, 1), layer.weight.shape[1]
    layer.accumulate((g * a).flatten(0, 1), rows[:, :inputs], rows[:, inputs:])
    trace.mul_((d[0] * later[0])[:, :, None])
    trace.baddbmm_((later * a).permute(1, 2, 0), x.transpose(0, 1))


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
