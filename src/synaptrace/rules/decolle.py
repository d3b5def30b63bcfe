"""DECOLLE (deep continuous local learning): each layer has a fixed random readout of its own.

    Y_l = G_l p(s_l) + c_l,  loss_l = mean over samples and classes of smooth-L1(Y_l − y)
    δ_l = p*(G_lᵀ clip(Y_l − y, ±1)) / (B O),  ∂W_l = (δ_l ⊙ ψ_l)ᵀ q_l,  ∂R_l likewise with q_R

G and c are uniform within ±amplitude/√H, and dropout hides a share of the spikes from them. With a
soft reset through which nothing is differentiated, this is the exact gradient of the layer's
losses of all steps, its input and recurrent spikes taken as given.

Published with a neuron of its own (two filters for each synapse, a refractory current, biases);
here it is the network's, so that q is its one filter, and max-pooled spikes are pooled as the
network pools them. It decides by the last layer's Y; here by `stream`'s readout, which learns from
the first step on.

Source: Kaiser, Mostafa, Neftci, arXiv 1811.10766; Front. Neurosci. 14:424 (2020).
Locality: local in space and time; a matrix and an offset for each layer, through whose transpose
errors come; not locked.
Memory between steps: u, s, q (and q_R) of each layer, the readout's z.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.rules.locality import Locality
from synaptrace.rules.seed import Seed
from synaptrace.rules.stream import Fired, InputTraces, Matrices
from synaptrace.seeds import generator as seeded


class DECOLLE(InputTraces):
    """DECOLLE on a network (equations and source above).

    Args:
        net: the network; its gradients are what the rule adds to.
        amplitude: of G and c, times 1/√H.
        dropout: share of the spikes that a local readout doesn't see.
        burn_in: first steps in which hidden layers don't learn.
        generator: draws G and c. `start`'s draws the dropout.

    Raises:
        UserError: dropout outside [0, 1), a negative burn-in.
    """

    name = "decolle"
    spikes_alone = True
    locality = Locality(
        space=True, time=True, auxiliary="G (O·H) and c (O), each layer", update_locked=False,
        weight_transport="within the layer",
    )  # fmt: skip
    order = "B·(I + H) + O·H"
    purposes: ClassVar = {"seed": "records"}

    def __init__(
        self,
        net: Network,
        amplitude: float = 0.5,
        dropout: float = 0.5,
        burn_in: int = 0,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(net)
        if not 0 <= dropout < 1:
            raise UserError(f"rule.dropout: {dropout} is not a share from 0 to below 1")
        if burn_in < 0:
            raise UserError(f"rule.burn_in: {burn_in} is a negative number of steps")
        self.dropout, self.burn_in = dropout, burn_in
        self.drawn = Seed()
        self.parts = not dropout  # which is drawn for the samples of a batch by their place in it
        matrices, offsets, like = [], [], net.readout.weight
        for layer in net.layers:
            outputs = math.prod(layer.out_shape)
            drawn = torch.rand(net.classes, outputs + 1, generator=generator).mul_(2).sub_(1)
            drawn = drawn.mul_(amplitude / math.sqrt(outputs)).to(like)
            matrices.append(drawn[:, :-1].contiguous())
            offsets.append(drawn[:, -1].contiguous())
        self.matrix, self.offset = Matrices(matrices), Matrices(offsets)

    def _start(self, labels: Tensor) -> None:
        super()._start(labels)
        self.drawn.draw(self)

    def _layer(self, i: int, x: Tensor, running: Tensor | None) -> Tensor:
        step = self._fire(i, x, running)
        traces = self._trace(i, step)
        if self.time >= self.burn_in:
            self.net.layers[i].accumulate(self._error(i, step, running), *traces)
        return step.out

    def _error(self, i: int, step: Fired, running: Tensor | None) -> Tensor:
        """g of layer i; its loss is recorded."""
        out, share = step.out.flatten(1), self.sample_weight(running) / self.classes
        layer, matrix, seen = self.net.layers[i], self.matrix[i], self._mask(i, out)
        off = self._off(F.linear(out * seen, matrix, self.offset[i]))
        error = off.clamp(-1.0, 1.0)
        loss = off.sub_(error, alpha=0.5).mul_(error)  # smooth-L1
        self._record(i, loss.mul_(share).sum(), None, running)
        delta = (error.mul_(share) @ matrix).mul_(seen).view(-1, *layer.out_shape)
        return layer.unpool(delta, step.spikes) * step.psi

    def _mask(self, i: int, like: Tensor) -> Tensor | float:
        """What layer i's readout sees in this step: 0, or 1/(1 − dropout); drawn where it is used,
        so that no step waits for the device."""
        if not self.dropout:
            return 1.0
        place = "cpu" if like.is_meta else str(like.device)
        draws = seeded(self.drawn.seed(self), "dropout", self.time, i, device=place)
        seen = torch.rand(like.shape, generator=draws, device=place) >= self.dropout
        seen = seen.to(like.device) if like.is_meta else seen
        return seen.to(like.dtype) / (1 - self.dropout)
