"""OSTL (online spatio-temporal learning): exact traces in time, times an error in space.

With D = ∂v/∂v′ through membrane and reset (`stream.carry`), one trace for each synapse:

    ε_ij ← D_i ε_ij + x_j        ∂W_ij = Σ_b δ_i ψ_i ε_ij      (R likewise, with s′)

δ comes by instant back-propagation, under ``feedback="random"`` through fixed matrices, drawn as
the weights were, in place of W_{l+1} and W_o. Recurrent weights are left out of D ("without H");
``complete`` has them in, with a trace for each neuron and synapse:

    ε_ijk ← D_i ε_ijk + Σ_n R_in ψ′_n ε_njk + [i = j] x_k        ∂W_jk = Σ_b Σ_i δ_i ψ_i ε_ijk

For one layer and a readout without memory (α = 0) this is the exact gradient, complete that of
all T steps. Otherwise κ = α filters the trace as in e-prop, ē ← κ ē + ψ ε with ∂W = Σ_b δ ē, and
makes it exact again (ours; the published κ is 0).

Source: Bohnstingl, Woźniak, Pantazi, Eleftheriou, arXiv 2007.12723; IEEE Trans. Neural Netw.
Learn. Syst. (2022). The readout is `stream`'s, not a layer of spiking neurons.
Locality: local in time; weight transport but for random feedback, which keeps a matrix for each
layer above the first; a layer waits for those above.
Memory between steps: u, s, D of each layer, z; ε, H×I (and H×H) a sample, H times that for the
complete form; as much again for κ > 0. Within `sequence`, but for these two, the vectors that make
up to 32 steps of ε (see `synapse`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from synaptrace.errors import UserError
from synaptrace.layers import initial
from synaptrace.network import Network
from synaptrace.rules.locality import Locality
from synaptrace.rules.stream import Fired, Matrices, carry, check_choice, dense_only
from synaptrace.rules.synapse import Linear, SynapseTraces, accumulate, beside, synapses


class OSTL(SynapseTraces):
    """OSTL on a dense network (equations and source above).

    Args:
        net: the network; its gradients are what the rule adds to.
        feedback: "symmetric" or "random".
        complete: differentiate through the recurrent weights too.
        kappa: κ, 0 as published; None takes the readout's decay, which is exact.
        generator: draws the random feedback.

    Raises:
        UserError: unknown feedback, κ outside [0, 1], a convolutional network.
    """

    name = "ostl"
    locality = Locality(
        space=False, time=True, auxiliary="none", update_locked=True, weight_transport="yes"
    )
    order = "B·H·I"

    def __init__(
        self,
        net: Network,
        feedback: Literal["symmetric", "random"] = "symmetric",
        complete: bool = False,
        kappa: float | None = 0.0,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(net)
        check_choice("feedback", feedback, ("symmetric", "random"))
        if kappa is not None and not 0 <= kappa <= 1:
            raise UserError(f"rule.kappa: {kappa} is not within 0 and 1")
        self.dense = dense_only(net, self.name)
        self.kappa = net.readout_decay if kappa is None else kappa
        self.complete = complete and self.dense[0].recurrent is not None
        if self.complete:
            self.order = "B·H²·(I + H)"
        self.feedback: Matrices | None = None
        if feedback == "random":
            above = [(layer, net.gain) for layer in self.dense[1:]] + [(net.readout, 1.0)]
            self.feedback = Matrices(
                initial(tuple(layer.weight.shape), layer.standardise, gain, generator)
                .detach()
                .to(layer.weight)
                for layer, gain in above
            )
            self.locality = replace(
                self.locality, auxiliary="F as the weights above, each layer", weight_transport="no"
            )

    def _start(self, labels: Tensor) -> None:
        super()._start(labels)
        neurons = [layer.shape for layer in self.dense]
        traces: list[tuple[int, ...]] = [*synapses(self.net)]
        if self.complete:
            traces = [(h, h, k) for h, k in synapses(self.net)]
            self.state["psi"] = self._zeros(neurons)
        self.state |= {"carry": self._zeros(neurons), "trace": self._zeros(traces)}
        if self.kappa:
            self.state["eligibility"] = self._zeros(traces)

    def _step(self, x: Tensor, running: Tensor | None) -> Tensor:
        fired = self._forward(x, running)
        logits, e = self._readout(fired[-1].out, running)
        wait = self._held and not self.kappa and not self.complete
        for i, delta, g in self._errors(e, fired, running):
            if wait:
                self._put_off(i, fired[i], g)
                continue
            trace = self._move(i, fired[i])
            if self.kappa:
                psi, g = fired[i].psi.view(*delta.shape, *[1] * (trace.dim() - 2)), delta
                trace = self.state["eligibility"][i].mul_(self.kappa).addcmul_(psi, trace)
            if self.complete:
                g, trace = torch.ones_like(g), torch.einsum("bi,bijk->bjk", g, trace)
            accumulate(self.dense[i], g, trace)
        return logits

    def _errors(
        self, e: Tensor, fired: Sequence[Fired], running: Tensor | None
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """(i, δ_i, g_i) of each layer."""
        if self.feedback is None:
            return self._instant(e, fired)
        return self._instant(e, fired, [self.forward_weights[0], *self.feedback.buffers()])

    def _move(self, i: int, step: Fired) -> Tensor:
        """Move ε of layer i on, (B, H, K), or (B, H, H, K) where it is complete."""
        layer, state = self.dense[i], self.state
        source, d = beside(layer, step.x, step.previous)[:, None], state["carry"][i]
        if layer.recurrent is not None and self.complete:
            jacobian = torch.diag_embed(d).add_(layer.recurrent * state["psi"][i][:, None])
            trace = torch.einsum("bin,bnjk->bijk", jacobian, state["trace"][i])
            trace.diagonal(dim1=1, dim2=2).add_(source.transpose(1, 2))
            state["trace"][i], state["psi"][i] = trace, step.psi
        else:
            trace = state["trace"][i].mul_(d[:, :, None]).add_(source)
        state["carry"][i] = carry(layer.neuron, step.v, step.spikes, step.psi)
        return trace

    def _put_off(self, i: int, step: Fired, g: Tensor) -> None:
        """Let the step of ε of layer i wait."""
        layer, state = self.dense[i], self.state
        x, d = beside(layer, step.x, step.previous), state["carry"][i]
        self._wait(i, layer, state["trace"][i], Linear(d, 1.0, x, g))
        state["carry"][i] = carry(layer.neuron, step.v, step.spikes, step.psi)
