"""e-prop: eligibility traces that run forward, times an error that is broadcast to each neuron.

With q (and q_R), ψ, e, z as in `stream`, and κ the readout's decay α unless set:

    LIF        ε_ij = ψ_i q_j,  ē ← κ ē + ε,  ∂W_ij = Σ_b δ_i ē_ij    (R likewise, with q_R)
    adaptive   ε_a ← ρ ε_a + ε,  ε = ψ (q − b ε_a)    ε_a: of the threshold, used a step later
    feedback   symmetric: δ by instant back-propagation, for one layer W_oᵀ e
               random: δ_l = p*(F_l e), F_l fixed, of standard normal entries
               adaptive: F_l gets the gradient eᵀ z_l, as W_o does, and at every update of
               `sequence` both are multiplied by 0.99 before the optimizer's step

With a soft reset through which nothing is differentiated, one layer and symmetric feedback, this
is the exact gradient but for what goes through the recurrent weights. κ = 0 keeps q and q_R alone
(a convolutional network too), and is exact where α = 0. A hard reset makes q an approximation.

Source: Bellec et al., Nat. Commun. 11:3625 (2020), and its preprint arXiv 1901.09049 for the
adaptive feedback. One recurrent layer there; deeper networks get a matrix for each layer, or
instant back-propagation (our reading). Left out: refractoriness, the regulariser of firing rates.
Locality: local in time; a broadcast error; symmetric feedback transports weights, the others keep
a matrix for each layer; locked to the output.
Memory between steps: u, s, q (and q_R) of each layer, z; ē for κ > 0, and ε_a where thresholds
adapt, each H×I (and H×H) a sample; z of every layer for adaptive feedback. Within `sequence` the
vectors that make up to 32 steps of ē (see `synapse`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from synaptrace.errors import UserError
from synaptrace.layers import Dense, add_product
from synaptrace.network import Network
from synaptrace.rules.locality import Locality
from synaptrace.rules.stream import Fired, InputTraces, Matrices, check_choice, dense_only, gaussian
from synaptrace.rules.synapse import Linear, SynapseTraces, accumulate, beside, synapses

DECAY = 0.01
"""Share of W_o and F that every update takes away under adaptive feedback."""


class EProp(InputTraces, SynapseTraces):
    """e-prop on a network (equations and source above).

    Args:
        net: the network; its gradients are what the rule adds to.
        feedback: "symmetric", "random" or "adaptive".
        kappa: κ; None takes the readout's decay.
        generator: draws the feedback matrices.

    Raises:
        UserError: unknown feedback, κ outside [0, 1], a trace for each synapse of a convolution.
    """

    name = "eprop"
    spikes_alone = True
    adaptive = True
    locality = Locality(
        space=False, time=True, auxiliary="none", update_locked=True, weight_transport="yes"
    )
    order = "B·H·I"

    def __init__(
        self,
        net: Network,
        feedback: Literal["symmetric", "random", "adaptive"] = "symmetric",
        kappa: float | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(net)
        check_choice("feedback", feedback, ("symmetric", "random", "adaptive"))
        if kappa is not None and not 0 <= kappa <= 1:
            raise UserError(f"rule.kappa: {kappa} is not within 0 and 1")
        self.kappa = net.readout_decay if kappa is None else kappa
        self.synaptic: list[Dense] = []
        if not self.kappa and self.name == "eprop":
            self.order = "B·(I + H)"
        if self.kappa or net.adaptive:
            self.synaptic = dense_only(net, f"{self.name} with κ > 0 or adaptive thresholds")
        self.feedback: Matrices | nn.ParameterList | None = None
        if feedback != "symmetric":
            matrices = gaussian(net, generator)
            trained = feedback == "adaptive"
            self.feedback = nn.ParameterList(matrices) if trained else Matrices(matrices)
            self.locality = replace(
                self.locality, auxiliary="F (O·H), each layer", weight_transport="no"
            )
            self.order += " + O·H"

    def _start(self, labels: Tensor) -> None:
        super()._start(labels)
        net = self.net
        if self.kappa:
            self.state["eligibility"] = self._zeros(synapses(net))
        if net.adaptive:
            self.state["threshold_trace"] = self._zeros(synapses(net))
        if isinstance(self.feedback, nn.ParameterList):
            shapes = [(f.shape[1],) for f in self.feedback]
            self.state["feedback_trace"] = self._zeros(shapes)

    def _step(self, x: Tensor, running: Tensor | None) -> Tensor:
        fired = self._forward(x, running)
        logits, e = self._readout(fired[-1].out, running)
        wait = self._held and self.kappa and not self.net.adaptive
        move = self._trace if wait else self._move
        traces = [move(i, step) for i, step in enumerate(fired)]
        for i, delta, g in self._errors(e, fired, running):
            if wait:
                self._put_off(i, delta, fired[i].psi, *traces[i])
            else:
                self._learn(i, delta, g, *traces[i])
        if isinstance(self.feedback, nn.ParameterList):
            for i, step in enumerate(fired):
                z = self.state["feedback_trace"][i].mul_(self.net.readout_decay)
                add_product(self.feedback[i], e, z.add_(step.out.flatten(1)), e.dtype)
        return logits

    def _errors(
        self, e: Tensor, fired: Sequence[Fired], running: Tensor | None
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """(i, δ_i, g_i) of each layer."""
        if self.feedback is None:
            return self._instant(e, fired)
        return self._direct(e, fired, self.feedback)

    def _move(self, i: int, step: Fired) -> tuple[Tensor, ...]:
        """Move the traces of layer i on: q and q_R, or one for each synapse."""
        layer, (q, q_r) = self.net.layers[i], self._trace(i, step)
        if not self.synaptic:
            return q, q_r
        psi, trace = step.psi[:, :, None], beside(layer, q, q_r)[:, None]
        if self.net.adaptive:
            raised, neuron = self.state["threshold_trace"][i], layer.neuron
            trace = torch.sub(trace, raised, alpha=neuron.adaptation)
            raised.mul_(neuron.adaptation_decay).addcmul_(psi, trace)
        if self.kappa:
            trace = self.state["eligibility"][i].mul_(self.kappa).addcmul_(psi, trace)
        return (trace,)

    def _learn(self, i: int, delta: Tensor, g: Tensor, *traces: Tensor) -> None:
        """Add the gradient of layer i; ψ is in g where it is not in the trace."""
        if not self.synaptic:
            return self.net.layers[i].accumulate(g, *traces)
        return accumulate(self.synaptic[i], delta if self.kappa else g, *traces)

    def _put_off(self, i: int, delta: Tensor, psi: Tensor, q: Tensor, q_recurrent: Tensor) -> None:
        """Let the step of ē of layer i wait."""
        x = beside(self.net.layers[i], q, q_recurrent)
        step = Linear(self.kappa, psi, x, delta)
        self._wait(i, self.synaptic[i], self.state["eligibility"][i], step)

    def _update(self, optimizer: torch.optim.Optimizer) -> None:
        if isinstance(self.feedback, nn.ParameterList):
            with torch.no_grad():
                for matrix in (self.net.readout.weight, *self.feedback):
                    if matrix.requires_grad:
                        matrix.mul_(1 - DECAY)
        super()._update(optimizer)
