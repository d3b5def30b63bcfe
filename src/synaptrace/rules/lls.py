"""Local Learning with fixed waves (LLS): a cross-entropy of its own in each layer, at every step.

    r = A p(s),  r̂ = r / ‖r‖,  w = Mᵀ (softmax(M r̂ / τ) − y) / (τ B)
    δ = p*(Aᵀ (w − r̂ (r̂·w)) / ‖r‖),  0 for a silent sample
    ∂W = (δ ⊙ ψ)ᵀ x,  ∂R = (δ ⊙ ψ)ᵀ s′

M and the adaptive average A are those of `waves`. ∂W is the exact gradient of the layer's loss,
its states and input held constant.

Source: Apolinario, A. Roy, K. Roy, arXiv 2405.15868 (WACV 2025), for networks that don't spike;
the spiking form, a loss at every step and no trace, is ours. Published τ: 0.5.
Locality: local in space and time; fixed projections, which can be computed anew at every step;
transport within the layer; not update-locked; the readout trains beside (see `stream`).
Memory between steps: u and s of each layer, the readout's z, and M (O·d) of each layer unless
``regenerate``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.rules.locality import Locality
from synaptrace.rules.stream import SampleStream, check_choice
from synaptrace.rules.waves import Waves


class LLS(SampleStream):
    """LLS on a network (equations and source above).

    Args:
        net: the network; its gradients are what the rule adds to.
        temperature: τ of the softmax.
        wave: "sine" or "square".
        regenerate: compute M at every step instead of keeping it: the same numbers, less memory.

    Raises:
        UserError: an unknown wave, a temperature that isn't positive.
    """

    classifiers: Sequence[Waves]
    name = "lls"
    locality = Locality(
        space=True, time=True, auxiliary="M (O·d), each layer, or computed", update_locked=False,
        weight_transport="within the layer",
    )  # fmt: skip
    order = "B·H + O·H"

    def __init__(
        self,
        net: Network,
        temperature: float = 0.5,
        wave: Literal["sine", "square"] = "sine",
        regenerate: bool = False,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(net)
        check_choice("wave", wave, ["sine", "square"])
        if not temperature > 0:
            raise UserError(f"rule.temperature: {temperature} is not a positive number")
        self.temperature = temperature
        if regenerate:
            self.locality = replace(self.locality, auxiliary="none (M is computed)")
            self.order = "B·H"
        self.classifiers = nn.ModuleList(  # type: ignore[assignment]
            Waves(net, i, square=wave == "square", keep=not regenerate)
            for i in range(len(net.layers))
        )

    def _layer(self, i: int, x: Tensor, running: Tensor | None) -> Tensor:
        layer, classifier, step = self.net.layers[i], self.classifiers[i], self._fire(i, x, running)
        weight, labels = self.sample_weight(running), self.state["labels"][0][:, None]
        r = classifier.shrink(step.out)
        length = r.norm(dim=1, keepdim=True)
        scale = torch.where(length > 0, 1 / length, 0.0)
        unit = r * scale
        log_softmax = classifier.project(unit).div_(self.temperature).log_softmax(1)
        off = self._off(log_softmax.exp()).mul_(weight)
        w = classifier.back(off).div_(self.temperature)
        error = (w - unit * (unit * w).sum(1, keepdim=True)) * scale
        delta = layer.unpool(classifier.grow(error, step.out), step.spikes)
        self._accumulate(i, delta * step.psi, step)
        self._record(i, -(log_softmax.gather(1, labels) * weight).sum(), None, running)
        return step.out
