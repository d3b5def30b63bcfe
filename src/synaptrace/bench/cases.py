"""What is measured: networks of the published experiments' sizes on random events, seeds fixed.

Thresholds are lower than the published ones, at which random events, which never come together as
real ones do, leave fresh networks silent: here hidden neurons spike in about 5 % of the steps
(VGG-9's, standardised, in 40 %), and the work is that of a network that is trained.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

import synaptrace as st
from synaptrace.seeds import generator


@dataclass(frozen=True)
class Case:
    """A network and the events it is given.

    Args:
        name: what the command line calls it.
        in_shape: of one step; three numbers stand for VGG-9.
        hidden: neurons of each dense layer.
        density: the part of the inputs that are active in a step.
        gain: of the initial weights of deeper layers, so that they spike.
        batches, repeats: what is measured where nothing else is asked for.
    """

    name: str
    in_shape: tuple[int, ...]
    hidden: tuple[int, ...]
    classes: int
    steps: int
    density: float
    neuron: st.LIF
    recurrent: bool = False
    gain: float = 1.0
    batches: tuple[int, ...] = (1, 2, 8, 128)
    repeats: int = 5

    @property
    def dense(self) -> bool:
        return len(self.in_shape) == 1

    @property
    def title(self) -> str:
        inputs = "×".join(map(str, self.in_shape))
        sort = " recurrent" if self.recurrent else ""
        layers = [f"{n}{sort}" for n in self.hidden] if self.dense else ["VGG-9"]
        sizes = " → ".join([inputs, *layers, str(self.classes)])
        return f"{self.name}: {sizes}, T {self.steps}, {100 * self.density:g} % of inputs active"


class Parts(NamedTuple):
    """A case in the flesh."""

    net: st.Network
    events: Tensor
    """(T, B, *in_shape) of zeros and ones."""
    labels: Tensor
    """(B,) int64."""


SHD = Case(
    "shd", (700,), (450,), 20, 100, 0.02, recurrent=True,
    neuron=st.LIF(threshold=0.34, decay=0.85, trace_decay=0.85),
)  # fmt: skip
NMNIST = Case(
    "nmnist", (2312,), (200,), 10, 100, 0.01,
    neuron=st.LIF(threshold=0.1, decay=0.98, trace_decay=0.98),
)  # fmt: skip
DEEP = replace(
    SHD, name="3x450", hidden=(450, 450, 450), gain=1.5, repeats=3,
    neuron=st.LIF(threshold=0.38, decay=0.85, trace_decay=0.85),
)  # fmt: skip
VGG9 = Case(
    "vgg9", (2, 48, 48), (), 10, 4, 0.1, batches=(8, 64), repeats=2,
    neuron=st.LIF(threshold=0.2, decay=0.53, trace_decay=0.98),
)  # fmt: skip
CASES = {case.name: case for case in (SHD, NMNIST, DEEP, VGG9)}


def make(case: Case, batch: int) -> Parts:
    """The network, events and labels of a case; the same bits every time."""
    draws = generator(0, "bench", case.name)
    if case.dense:
        net = st.mlp(
            case.in_shape[0], case.hidden, case.classes, neuron=case.neuron,
            recurrent=case.recurrent, gain=case.gain, generator=draws,
        )  # fmt: skip
    else:
        net = st.vgg(
            9, in_shape=case.in_shape, classes=case.classes, neuron=case.neuron, generator=draws
        )
    chance = torch.full((case.steps, batch, *case.in_shape), case.density)
    return Parts(net, torch.bernoulli(chance, generator=draws), torch.arange(batch) % case.classes)
