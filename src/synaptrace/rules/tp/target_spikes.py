"""Layer 1's target stream, computed once: while the label's weights are fixed, each class has the
same spikes in every batch. Kept are the indices of the neurons that spiked, four bytes a spike, of
sequences so short that they can't come to more than `MOST` bytes; the engine computes the stream of
longer ones anew in every batch, block by block."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from synaptrace.neuron import LIF, integrate, reset, spike
from synaptrace.rules.tp.label import Label

MOST = 2**26
"""Bytes that a stream may take: 1,800 steps of 20 classes and 450 neurons."""


@dataclass(frozen=True)
class Stream:
    """Spikes of all classes for some steps, and what they were computed from."""

    offset: Tensor
    """(steps · classes + 1,) int64: where the spikes of a step and class begin in ``index``."""
    index: Tensor
    """(spikes,) int32: neurons."""
    steps: int
    neuron: LIF
    threshold: float
    weights: tuple[Tensor, ...]
    """Copies of the label's weights."""

    def fits(self, label: Label, threshold: float, steps: int) -> bool:
        """Whether the stream still is the label's, and long enough."""
        now = weights(label)
        return (
            (self.neuron, self.threshold) == (label.neuron, threshold)
            and steps <= self.steps
            and len(now) == len(self.weights)
            and all(torch.equal(a, b) for a, b in zip(now, self.weights, strict=True))
        )


def keeps(label: Label, steps: int) -> bool:
    """Whether a stream of so many steps is sure to stay within `MOST` bytes."""
    return 4 * steps * label.weight.numel() <= MOST


def weights(label: Label) -> tuple[Tensor, ...]:
    """The label's projection and, if it has them, its recurrent weights."""
    both = (label.weight, label.recurrent)
    return tuple(each.detach() for each in both if each is not None)


@torch.no_grad()
def compute(label: Label, threshold: float, steps: int) -> Stream:
    """The stream of every class for ``steps`` steps."""
    weight = label.forward_weight()
    neurons, classes = label.weight.shape
    every, neuron = torch.arange(classes), label.neuron
    u = s = label.weight.new_zeros(classes, neurons)
    counts, indices = [torch.zeros(1, dtype=torch.int64)], []
    for _ in range(steps):
        v = label.current(every, s.view(-1, *label.shape), weight).flatten(1)
        v = integrate(neuron, v, u)
        s = spike(neuron, v, threshold)
        u = reset(neuron, v, s, threshold)
        counts.append(s.sum(1).long())
        indices.append(s.nonzero()[:, 1].to(torch.int32))
    copies = tuple(each.clone() for each in weights(label))
    offset = torch.cat(counts).cumsum(0)
    return Stream(offset, torch.cat(indices), steps, neuron, threshold, copies)
