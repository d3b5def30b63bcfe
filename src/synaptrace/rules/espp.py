"""EchoSpike Predictive Plasticity (ESPP): be like the sample before if its class was the same.

The echo r of a layer is the spike counts of an earlier sample over their sum (0 if it was silent);
b = +1 where that sample is of the same class, −1 where it is not. A layer minimises −b Σ_t r·s,
but only while a hinge is open; ā is the mean of the network's input at t, T and H are steps and
neurons, c₊ belongs to b = +1 and c₋ to b = −1:

    q ← β q + x,  q_R ← β q_R + s′             counts of this sample, for the next: n ← n + s
    ∂W = −b gate (r ⊙ ψ)ᵀ q,  ∂R the same with q_R         (sums over samples, no mean)
    form="step"       gate = [−b r·s + c_b ā > 0 and ā > ā_min]                 at every t
    form="sequence"   gate = [−b Σ_t r·s + c_b T H > 0]                 once, at the end

A sample needs one before it. Here, as in the authors' code, it comes from the batch before, whose
echoes and labels are kept; theirs draws the samples so that each row hears first its own class,
then another. Samples arrive in any order here, so it is the echo that is chosen: even rows take
the next row of the last batch, counted from their own, that has their class, odd rows the next
that has not (any row's, where there is no such). So an update sees as many of either kind, as
theirs after a pair does. Batches of one are the published stream, in the order in which they come.
The first batch is unscored.

Source: Graf, Su, Indiveri, arXiv 2405.13976 (2024). Published: "step" 1.5, −1.5, 0.05 (spoken
digits), 2, −1, 0.02 (N-MNIST); "sequence" 8e-4, −4e-4 and 1e-4, −1e-4. Theirs feeds each layer the
input and all layers below, starts from weights within ±3/√I, trains the layers by SGD (1e-4 at
every step of "step") and a readout afterwards: here the network is what it is, and the readout of
`stream` trains beside. Layers that move fast leave it behind, so small steps suit this rule.
Locality: local in space and time; no auxiliary matrices; no weight transport; not update-locked;
no batch needed, but an order of samples.
Memory between steps: u, s, q, n, r (and q_R, if recurrent) of each layer, the readout's z;
"sequence" keeps a trace for each synapse and sample too, so it is for dense networks.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from synaptrace.network import Network
from synaptrace.rules.locality import Locality
from synaptrace.rules.stream import InputTraces, check_choice, dense_only
from synaptrace.rules.synapse import accumulate, beside, synapses

BLOCK = 16
"""Samples that look for theirs at once, so that nothing is batch × batch."""
DEFAULTS = {"step": (2.0, -1.0, 0.02), "sequence": (8e-4, -4e-4, 0.0)}
"""c₊, c₋ and ā_min of each form: the published ones that leave a margin, c₊ > −c₋."""


class ESPP(InputTraces):
    """ESPP on a network (equations and source above).

    Args:
        net: the network; its gradients are what the rule adds to.
        form: "step" or "sequence".
        c_same, c_different: c₊ and c₋, which belong to the data as a threshold does; None: as
            published, for N-MNIST (step) or spoken digits (sequence).
        min_input: ā_min of the step form; None likewise.

    Raises:
        UserError: an unknown form; a convolution under "sequence".
    """

    name = "espp"
    locality = Locality(
        space=True, time=True, auxiliary="none", update_locked=False, weight_transport="no"
    )
    order = "B·(I + H)"
    parts = False
    purposes: ClassVar = dict.fromkeys(("partner", "sign", "echo_labels", "score"), "records")
    lasting = ("echo", "echo_labels")

    def __init__(
        self,
        net: Network,
        form: Literal["step", "sequence"] = "step",
        c_same: float | None = None,
        c_different: float | None = None,
        min_input: float | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(net)
        check_choice("form", form, list(DEFAULTS))
        if form == "sequence":
            dense_only(net, "espp with form='sequence'")
            self.order = "B·H·I"
        given, self.form = (c_same, c_different, min_input), form
        self.c_same, self.c_different, self.min_input = (
            default if value is None else value
            for value, default in zip(given, DEFAULTS[form], strict=True)
        )

    def _start(self, labels: Tensor) -> None:
        super()._start(labels)
        state, layers = self.state, self.net.layers
        if "echo" not in state:  # an unscored batch hears one silent sample of no class
            like = self.net.readout.weight
            state["echo"] = [like.new_zeros(1, *layer.shape) for layer in layers]
            state["echo_labels"] = [labels.new_full((1,), -1)]
        (earlier,) = state["echo_labels"]
        partner = choose(labels, earlier)
        heard = earlier[partner]
        sign = torch.where(labels == heard, 1.0, -1.0) * (heard >= 0)
        state |= {
            "partner": [partner],
            "sign": [sign.to(self.net.readout.weight.dtype)],
            "counts": self._zeros(layer.shape for layer in layers),
        }
        if self.form == "sequence":
            state["score"] = self._zeros([()] * len(layers))
            state["eligibility"] = self._zeros(synapses(self.net))

    def _step(self, x: Tensor, running: Tensor | None) -> Tensor:
        activity = x.flatten(1).mean(1)
        for i in range(len(self.net.layers)):
            x = self._near(i, x, activity, running)
        return self._readout(x, running)[0]

    def _near(self, i: int, x: Tensor, activity: Tensor, running: Tensor | None) -> Tensor:
        """One step of layer i, ``activity`` (B,) being ā; returns the layer's output."""
        state, (sign,), layer = self.state, self.state["sign"], self.net.layers[i]
        sample_weight = torch.ones_like(sign) if running is None else running.to(sign.dtype)
        step = self._fire(i, x, running)
        r = state["echo"][i][state["partner"][0]]
        score = -sign * (r * step.spikes).flatten(1).sum(1)
        counted = step.spikes
        if running is not None:
            counted = counted * column(sample_weight, counted)
        state["counts"][i].add_(counted)
        q, q_recurrent = self._trace(i, step)
        if self.form == "sequence":
            state["score"][i].add_(score * sample_weight)
            drive = (r * step.psi * sample_weight[:, None])[:, :, None]
            state["eligibility"][i].addcmul_(drive, beside(layer, q, q_recurrent)[:, None])
        else:
            hinge = (score + self._margin() * activity) * (sign != 0) * sample_weight
            gate = (hinge > 0) & (activity > self.min_input)
            layer.accumulate(column(-sign * gate, r) * r * step.psi, q, q_recurrent)
            self._record(i, (hinge * gate).sum() / self.batch, None, running)
        return step.out

    def _margin(self) -> Tensor:
        """c_b of each sample, (B,)."""
        (sign,) = self.state["sign"]
        same, different = (sign.new_full((), c) for c in (self.c_same, self.c_different))
        return torch.where(sign > 0, same, different)

    @torch.no_grad()
    def _finish(self) -> None:
        state, (sign,) = self.state, self.state["sign"]
        steps = state["lengths"][0] if state["lengths"] else self.time
        deferred = self.form == "sequence"
        for i, layer in enumerate(dense_only(self.net, self.name) if deferred else ()):
            neurons = len(layer.weight)
            hinge = (state["score"][i] + self._margin() * steps * neurons) * (sign != 0)
            drive = (-sign * (hinge > 0))[:, None].expand(-1, neurons)
            accumulate(layer, drive, state["eligibility"][i])
            self._record(i, hinge.clamp(min=0).sum() / self.batch, None, None)
        counts, (labels,) = state.pop("counts"), state["labels"]
        total = [each.flatten(1).sum(1).clamp(min=1) for each in counts]
        state["echo"] = [n.div_(column(s, n)) for n, s in zip(counts, total, strict=True)]
        state["echo_labels"] = [labels]


def choose(labels: Tensor, earlier: Tensor) -> Tensor:
    """For each of ``labels`` (B,) a row of the batch before, whose labels are ``earlier``: (B,).

    Even rows look for their own class, odd ones for another, cyclically from their own row on.
    """
    columns, found = torch.arange(len(earlier), device=labels.device), []
    for rows in torch.split(torch.arange(len(labels), device=labels.device), BLOCK):
        ahead = (columns - rows[:, None]) % len(earlier)
        same = labels[rows, None] == earlier
        wanted = same == (rows % 2 == 0)[:, None]
        found.append((ahead + ~wanted * len(earlier)).argmin(1))
    return torch.cat(found)


def column(each: Tensor, like: Tensor) -> Tensor:
    """``each`` (B,) in the shape that multiplies the rows of ``like`` (B, …)."""
    return each.to(like.dtype).view(-1, *[1] * (like.dim() - 1))
