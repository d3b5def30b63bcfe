"""STSF: sparse fixed feedback, gated by the spikes before and behind the synapse; no surrogate.

    ∂W = (p*(F d) ⊙ s)ᵀ x,  ∂R = (p*(F d) ⊙ s)ᵀ s′

F (H×O) has one entry a neuron, classes in equal shares at random places, uniform within ±√(O/H).
What d is, the two sources read differently, and ``error`` chooses:

    "local"     d = 2 (o − y) / (B O) of a spiking classifier of the layer's own, whose weights are
                trained by ∂C = dᵀ p(s)        (see `ell`; the authors' code)
    "global"    d = e, the network's output error; no classifiers        (NeuroTrain)

NeuroTrain's output layer spikes; here the readout of `stream` stands in its place, in both.

Source: He et al., IEEE Trans. Neural Netw. Learn. Syst. (2025), doi 10.1109/TNNLS.2025.3527700,
code hppeace/STSF, with an update at every step; NeuroTrain, arXiv 2605.15058 (whose F is uniform
within ±√(H/O)).
Locality: local in time; "local" in space too, with C in each layer; no weight transport; not
update-locked, but "global" waits for the output.
Memory between steps: u and s of each layer, the readout's z, an entry and a class for each neuron;
"local" has O membranes a layer more.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from synaptrace.network import Network
from synaptrace.rules.ell import SpikingClassifiers
from synaptrace.rules.locality import Locality
from synaptrace.rules.stream import Fired, Matrices, SampleStream, check_choice


class STSF(SpikingClassifiers):
    """STSF on a network (equations and source above).

    Args:
        net: the network; its gradients are what the rule adds to.
        error: "local", the authors', or "global".
        generator: draws F and the classifiers.

    Raises:
        UserError: an unknown error.
    """

    name = "stsf"
    locality = Locality(
        space=True, time=True, auxiliary="C (O·H), trained, F (H entries), each layer",
        update_locked=False, weight_transport="no",
    )  # fmt: skip
    order = "B·H + O·H"

    def __init__(
        self,
        net: Network,
        error: Literal["local", "global"] = "local",
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(net)
        check_choice("error", error, ["local", "global"])
        self.local = error == "local"
        sizes = [math.prod(layer.out_shape) for layer in net.layers]
        self.class_of = Matrices(
            torch.randperm(size, generator=generator).to(net.readout.weight.device) % net.classes
            for size in sizes
        )
        self.entry = Matrices(
            torch.empty(size).uniform_(-1, 1, generator=generator).to(net.readout.weight)
            * math.sqrt(net.classes / size)
            for size in sizes
        )
        if self.local:
            self._add_classifiers(generator)
        else:
            self.locality = replace(
                self.locality, space=False, auxiliary="F (H entries), each layer",
                update_locked=True,
            )  # fmt: skip
            self.order = "B·H"

    def _start(self, labels: Tensor) -> None:
        super()._start(labels) if self.local else SampleStream._start(self, labels)

    def _step(self, x: Tensor, running: Tensor | None) -> Tensor:
        fired = self._forward(x, running)
        logits, e = self._readout(fired[-1].out, running)
        for i, step in enumerate(fired):
            d = e
            if self.local:
                d, _ = self._classify(i, step.out, running)
                self.classifiers[i].accumulate(d, step.out, d)
            self._learn(i, step, d)
        return logits

    def _learn(self, i: int, step: Fired, d: Tensor) -> None:
        """Add layer i's gradients for the error d (B, classes) that reaches it through F."""
        layer = self.net.layers[i]
        delta = (d[:, self.class_of[i]] * self.entry[i]).view(-1, *layer.out_shape)
        self._accumulate(i, layer.unpool(delta, step.spikes) * step.spikes, step)
