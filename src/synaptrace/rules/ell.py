"""ELL: each layer trained at every step by a spiking classifier of its own.

The classifier of a layer has weights C (O×H) and O neurons of the layer's kind, with spikes o and
derivative ψ_o. The loss of a step is the mean square of o − y:

    d = 2 (o − y) ⊙ ψ_o / (B O),  ∂C = dᵀ p(s)
    δ = p*(Cᵀ d),  ∂W = (δ ⊙ ψ)ᵀ x,  ∂R = (δ ⊙ ψ)ᵀ s′

∂W and ∂C are the exact gradients of the step's loss, all states and the layer's input held
constant; there are no traces.

Source: Ma, Yan, Z. Yu, Q. Yu, IEEE Trans. Cybern. (2022), doi 10.1109/TCYB.2022.3188015, with the
authors' code; published with an update at every step. They decide by the spike count of the last
classifier; here the readout of `stream` decides, and the classifiers serve training only. They
average a large map before it is classified; here the classifier sees the layer's output, pooled as
the network pools.
Locality: local in space and time; C, trained, in each layer; transport within the layer; not
update-locked.
Memory between steps: u and s of each layer, the membranes of its classifier (O), the readout's z.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from synaptrace.layers import Dense
from synaptrace.network import Network
from synaptrace.neuron import fire
from synaptrace.rules.locality import Locality
from synaptrace.rules.stream import SampleStream


class SpikingClassifiers(SampleStream):
    """A rule with a trained spiking classifier in each layer; STSF has one too.

    Its parameters are ``classifiers.<i>.weight`` (classes, outputs).
    """

    purposes: ClassVar = {"classifier_membrane": "neuron state"}
    classifiers: Sequence[Dense]

    def _add_classifiers(self, generator: torch.Generator | None) -> None:
        like = self.net.readout.weight
        self.classifiers = nn.ModuleList(  # type: ignore[assignment]
            Dense(
                math.prod(layer.out_shape), self.classes, neuron=layer.neuron,
                compute=layer.compute, generator=generator,
            ).to(like.device, like.dtype)
            for layer in self.net.layers
        )  # fmt: skip

    def _start(self, labels: Tensor) -> None:
        super()._start(labels)
        self.state["classifier_membrane"] = self._zeros([(self.classes,)] * len(self.net.layers))

    def _classify(self, i: int, out: Tensor, running: Tensor | None) -> tuple[Tensor, Tensor]:
        """A step of layer i's classifier on the layer's output: 2 (o − y) / (B O), and ψ_o."""
        classifier, u = self.classifiers[i], self.state["classifier_membrane"]
        out = out.flatten(1)
        current = classifier.current(out, out, classifier.forward_weight())
        u[i], spikes, psi = fire(classifier.neuron, current, u[i])
        off, weight = self._off(spikes), self.sample_weight(running)
        self._record(i, (off.square() * weight).sum() / self.classes, None, running)
        return off.mul_(weight).mul_(2 / self.classes), psi


class ELL(SpikingClassifiers):
    """ELL on a network (equations and source above).

    Args:
        net: the network; its gradients are what the rule adds to.
        generator: draws the classifiers.
    """

    name = "ell"
    spikes_alone = True
    locality = Locality(
        space=True, time=True, auxiliary="C (O·H), each layer, trained", update_locked=False,
        weight_transport="within the layer",
    )  # fmt: skip
    order = "B·H + O·H"

    def __init__(self, net: Network, *, generator: torch.Generator | None = None) -> None:
        super().__init__(net)
        self._add_classifiers(generator)

    def _layer(self, i: int, x: Tensor, running: Tensor | None) -> Tensor:
        layer, classifier, step = self.net.layers[i], self.classifiers[i], self._fire(i, x, running)
        error, psi = self._classify(i, step.out, running)
        d = error * psi
        delta = classifier.back(d, classifier.forward_weight()).view(-1, *layer.out_shape)
        self._accumulate(i, layer.unpool(delta, step.spikes) * step.psi, step)
        classifier.accumulate(d, step.out, d)
        return step.out
