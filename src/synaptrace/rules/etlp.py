"""ETLP (event-based three-factor local plasticity): instant e-prop told by the label.

    ∂W_l = (δ_l ⊙ ψ_l)ᵀ q_l,  ∂R_l = (δ_l ⊙ ψ_l)ᵀ q_R    (and ε_a where thresholds adapt: `eprop`)
    δ_l = −p*(F_l y) / B    F_l fixed and random, entries of variance 1/H

Traces always run; the hidden layers learn at teaching events alone, which come at each step with
a given probability, one draw for the whole batch. The published 100 Hz are 0.1 at steps of 1 ms;
here the default is 1, as data may have few steps. Differs from the published code: B divides; R
sees the spikes of the step before; no refractoriness; the readout is `stream`'s and learns at every
step.

Source: Quintana, Perez-Peña, Galindo, Neftci, Chicca, Khacef, arXiv 2301.08281 (2023).
Locality: local in space and time; a matrix for each layer; no weight transport; not locked.
Memory between steps: u, s, q (and q_R) of each layer, z; ε_a, H×I (and H×H) a sample, where
thresholds adapt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.rules.eprop import EProp
from synaptrace.rules.locality import Locality
from synaptrace.rules.seed import Seed
from synaptrace.rules.stream import Fired, Matrices, gaussian
from synaptrace.seeds import derive


class ETLP(EProp):
    """ETLP on a network (equations and source above).

    Args:
        net: the network; its gradients are what the rule adds to.
        probability: of a teaching event at a step.
        generator: draws the projections of the label. `start`'s draws the teaching events.

    Raises:
        UserError: a probability outside [0, 1], adaptive thresholds in a convolution.
    """

    name = "etlp"
    locality = Locality(
        space=True, time=True, auxiliary="F (O·H), each layer", update_locked=False,
        weight_transport="no",
    )  # fmt: skip
    order = "B·(I + H) + O·H"
    purposes: ClassVar = {"seed": "records"}

    def __init__(
        self, net: Network, probability: float = 1.0, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(net, kappa=0.0)
        if not 0 <= probability <= 1:
            raise UserError(f"rule.probability: {probability} is not within 0 and 1")
        self.probability, self.drawn = probability, Seed()
        self.projection = Matrices(
            matrix.div_(-math.sqrt(matrix.shape[1])) for matrix in gaussian(net, generator)
        )

    def _start(self, labels: Tensor) -> None:
        super()._start(labels)
        self.drawn.draw(self)

    def _errors(
        self, e: Tensor, fired: Sequence[Fired], running: Tensor | None
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        if self.probability < 1:
            draw = derive(self.drawn.seed(self), "teaching", self.time) / 2**63
            if draw >= self.probability:
                return iter(())
        return self._direct(self._one_hot() * self.sample_weight(running), fired, self.projection)
