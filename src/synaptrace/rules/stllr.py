"""S-TLLR, a temporal local learning rule after STDP: causal and anti-causal traces, an error.

    q ← λ_pre q + x,  q_R ← λ_pre q_R + s′     what came in, this step included
    h ← λ_post h + ψ′                          what the neuron was ready for before this step
    ∂W = a_pre (δ ⊙ ψ)ᵀ q + a_post (δ ⊙ h)ᵀ x,  ∂R the same with q_R and s′

δ comes by instant back-propagation (``feedback="symmetric"``) or straight from the error through
fixed random matrices F_l, uniform within ±√(6/H) (``"dfa"``; see `stream`). With ``last=K`` the
loss counts each sample's last K steps only, in the readout too. a_post = 0, a_pre = 1, λ_pre = β
is OTTT.

Source: Apolinario, Roy, arXiv 2306.15220 (2023). The paper's sum seems to give h one more factor
λ_post than its recursion does; the recursion is taken, as in the authors' code. Published
(λ_post, λ_pre, a_post, a_pre; K of T): DVS gestures .2 .75 −1 1, 5 of 20; DVS-CIFAR10 .2 .5 −1 1,
5 of 10; spoken digits (SHD) .5 1 1 1, 90 of 100.
Locality: local in time, not in space; "symmetric" has weight transport and a layer waits for those
above; "dfa" has no transport but a matrix a layer, and waits for the output.
Memory between steps: u, s, q, h (and q_R, if recurrent) of each layer, the readout's z; no h where
a_post = 0.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.rules.locality import Locality
from synaptrace.rules.stream import Fired, InputTraces, Matrices, check_choice


class CausalTraces(InputTraces):
    """The traces and the three factors, whatever the error δ is; TESS has them too."""

    def __init__(
        self, net: Network, lambda_pre: float, lambda_post: float, a_pre: float, a_post: float
    ) -> None:
        super().__init__(net)
        for option, decay in {"lambda_pre": lambda_pre, "lambda_post": lambda_post}.items():
            if not 0 <= decay <= 1:
                raise UserError(f"rule.{option}: {decay} is not within 0 and 1")
        self.lambda_pre, self.lambda_post = lambda_pre, lambda_post
        self.a_pre, self.a_post = a_pre, a_post

    def _start(self, labels: Tensor) -> None:
        super()._start(labels)
        if self.a_post:
            self.state["output_trace"] = self._zeros(layer.shape for layer in self.net.layers)

    def _learn(self, i: int, step: Fired, delta: Tensor) -> None:
        """Add layer i's gradients for the error δ of its spikes (B, *shape); move its traces on."""
        layer = self.net.layers[i]
        q, q_recurrent = self._trace(i, step, self.lambda_pre)
        layer.accumulate((delta * step.psi).mul_(self.a_pre), q, q_recurrent)
        if self.a_post:
            h = self.state["output_trace"][i]
            self._accumulate(i, (delta * h).mul_(self.a_post), step)
            h.mul_(self.lambda_post).add_(step.psi)


class STLLR(CausalTraces):
    """S-TLLR on a network (equations and source above).

    Args:
        net: the network; its gradients are what the rule adds to.
        lambda_pre, lambda_post: factors per step of the two traces, from 0 to 1.
        a_pre, a_post: weights of the causal and the anti-causal term.
        feedback: "symmetric" or "dfa".
        last: K, the steps at a sample's end that the loss counts; None: all.
        generator: draws the matrices of "dfa".

    Raises:
        UserError: an option out of range; at `start`, ``last`` where neither ``steps`` nor
            ``lengths`` say when the end is.
    """

    name = "stllr"
    locality = Locality(
        space=False, time=True, auxiliary="none", update_locked=True, weight_transport="yes"
    )
    order = "B·(I + H)"

    def __init__(
        self,
        net: Network,
        lambda_pre: float = 1.0,
        lambda_post: float = 0.5,
        a_pre: float = 1.0,
        a_post: float = 1.0,
        feedback: Literal["symmetric", "dfa"] = "symmetric",
        last: int | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(net, lambda_pre, lambda_post, a_pre, a_post)
        check_choice("feedback", feedback, ["symmetric", "dfa"])
        if last is not None and last < 1:
            raise UserError(f"rule.last: {last} is not a positive number of steps")
        self.last, self.weighs = last, last is not None
        self.feedback = Matrices(uniform(net, generator)) if feedback == "dfa" else None
        if self.feedback is not None:
            self.locality = replace(
                self.locality, auxiliary="F (O·H), each layer", weight_transport="no"
            )
            self.order += " + O·H"

    def _start(self, labels: Tensor) -> None:
        super()._start(labels)
        if self.last is not None and self.steps is None and not self.state["lengths"]:
            raise UserError("start: rule.last counts from the end; give steps or lengths")

    def _step(self, x: Tensor, running: Tensor | None) -> Tensor:
        fired = self._forward(x, running)
        logits, e = self._readout(fired[-1].out, running)
        if self.feedback is None:
            errors = self._instant(e, fired)
        else:
            errors = self._direct(e, fired, self.feedback)
        for i, delta, _ in errors:
            self._learn(i, fired[i], delta)
        return logits

    def sample_weight(self, running: Tensor | None) -> Tensor | float:
        """A sample's share of the loss, and 0 before its last K steps."""
        weight = super().sample_weight(running)
        if self.last is None:
            return weight
        lengths = self.state["lengths"]
        end = lengths[0][:, None] if lengths else self.steps or 0
        return weight * (self.time >= end - self.last)


def uniform(net: Network, generator: torch.Generator | None) -> list[Tensor]:
    """A matrix (classes, H) for each hidden layer, uniform within ±√(6/H)."""
    like = net.readout.weight
    sizes = [math.prod(layer.out_shape) for layer in net.layers]
    return [
        torch.empty(net.classes, size).uniform_(-1, 1, generator=generator).to(like)
        * math.sqrt(6 / size)
        for size in sizes
    ]
