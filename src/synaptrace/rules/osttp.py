"""OSTTP (online spatio-temporal learning with target projection): OSTL told by the label.

    ε_ij ← D_i ε_ij + x_j,  ∂W_ij = Σ_b δ_i ψ_i ε_ij    (as in `ostl`, "without H", κ = 0)
    δ_l = F_l y / B         F_l fixed and random, entries of variance 1/O

The hidden layers see the label and no error, so they wait for nothing. The published trace keeps
j_y ψ′ε′ beside j_s ε, which together are D ε; a product of R with the traces, which one
reimplementation adds, mixes those of different weights and is left out. Published with the loss on
the membrane of a spiking output layer; here the readout is `stream`'s.

Source: Ortner, Pes, Gentinetta, Frenkel, Pantazi, arXiv 2304.05124 (2023).
Locality: local in space and time; a matrix for each layer; no weight transport; not locked.
Memory between steps: u, s, D of each layer, z; ε, H×I (and H×H) a sample, and the
vectors of up to 32 steps of it (see `synapse`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from synaptrace.network import Network
from synaptrace.rules.locality import Locality
from synaptrace.rules.ostl import OSTL
from synaptrace.rules.stream import Fired, Matrices, gaussian


class OSTTP(OSTL):
    """OSTTP on a dense network (equations and source above).

    Args:
        net: the network; its gradients are what the rule adds to.
        generator: draws the projections of the label.

    Raises:
        UserError: a convolutional network.
    """

    name = "osttp"
    locality = Locality(
        space=True, time=True, auxiliary="F (O·H), each layer", update_locked=False,
        weight_transport="no",
    )  # fmt: skip
    order = "B·H·I + O·H"

    def __init__(self, net: Network, *, generator: torch.Generator | None = None) -> None:
        super().__init__(net)
        scale = 1 / math.sqrt(net.classes)
        self.projection = Matrices(scale * matrix for matrix in gaussian(net, generator))

    def _errors(
        self, e: Tensor, fired: Sequence[Fired], running: Tensor | None
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        return self._direct(self._one_hot() * self.sample_weight(running), fired, self.projection)
