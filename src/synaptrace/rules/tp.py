"""Traces Propagation (TP): contrast the spike traces of samples with those of their labels.

Two streams run through the same weights. The sample stream is driven by x; the target stream is
driven by the label alone, which enters layer 1 through a label projection S (fixed and random
unless asked) onto neurons of their own. With Z_l the samples' traces, Y_l the labels' traces and
Y_0 the trace of the one-hot label, layer l minimises, at every step, the cross-entropy

    loss_l = mean over samples of CE(P, softmax(A)),  A = Z_l Y_lᵀ,  P = softmax(−D(Y_{l−1}))

D: pairwise Euclidean distances. Only the instantaneous path is differentiated, so the update is
three local factors (error, other stream's trace, surrogate) and needs no graph:

    E   = (softmax(A) − P) / B
    g^z = p*(E Y_l) ⊙ σ'(v^z − θ)        g^y = p*(Eᵀ Z_l) ⊙ σ'(v^y − θ)
    ∂W_l = g^zᵀ s^z_{l−1} + g^yᵀ s^y_{l−1}   (l = 1: g^zᵀ x, and ∂S = g^yᵀ y where S is trained)
    ∂R_l = the same with the layer's own spikes of step t−1
    readout: m^t = α m^{t−1} + W_o s_L,  ∂W_o = (softmax(m) − y)ᵀ Z_L / B

p* is the transpose of the pooling; in a convolution A and D are means over pixels, and the
errors are divided by their number.

The target stream depends on the class alone, so one row for each of the C classes present
stands for all n_c samples of it, exactly: A becomes B×C, and A + log n and log n − D take the
place of A and −D. No B×B matrix, and no B rows of target state. Where samples differ in length,
n_c counts those still running, and the rows of E of the others are zero.

``contrast="class"`` takes every class as a row and leaves log n out: a sample no longer sees who
shares its batch, and a batch of one learns. (Ours; "batch" is the published form.)

Source: Pes, Yin, Stuijk, Corradi, arXiv 2509.13053; Neuromorph. Comput. Eng. 6(1):014002 (2026).
Locality: local in space and time; no feedback or auxiliary matrices but S; no weight transport;
not update-locked; "batch" needs a batch, "class" does not.
Memory between steps: u, s, z of B + C rows a layer; during a step, beyond that, at most five
tensors of the largest layer's B + C rows and what one convolution call takes (on a matrix unit,
native/convolve.py, also six bytes a weight for its parts). With more than 512 class rows a step
goes over them in blocks of 512 (tp_blocks.py), and beside A, P, E and D, which are B×C, its work
space no longer grows with C. None grows with T.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synaptrace.engine import train
from synaptrace.engine.describe import overridden
from synaptrace.errors import UserError
from synaptrace.layers import Label, add_product
from synaptrace.native import convolve, maps
from synaptrace.network import Network
from synaptrace.neuron import fire
from synaptrace.rules import tp_blocks
from synaptrace.rules.base import Locality, Rule
from synaptrace.rules.contrast import SHIFT, cross_entropy, trace_distance

INERT = (
    "tensors",
    "state_dict",
    "load_state_dict",
    "spec",
    "losses",
    "rates",
    "add_class",
    "_add_class",
)
"""Methods of a rule that have no part in a sequence, which a subclass may have of its own."""


class TracesPropagation(Rule):
    """Traces Propagation on a network (equations and source above).

    Args:
        net: the network; its gradients are what the rule adds to.
        contrast: "batch", the published form, or "class".
        train_label: train the label projection too (``label.weight`` becomes a parameter).
        label_threshold: the threshold of the label's neurons; None takes the first layer's in a
            dense network and 1.0 in a convolutional one.
        engine: what it runs on: "native", compiled; "torch", the steps below; "auto", the native
            one where it can be used (in a dense network: by the exact rule, no subclass that steps
            otherwise, with at most 512 class rows). Results are the same up to rounding. In a
            dense network it does whole sequences, after which of the state only labels, logits,
            losses and rates remain; in a convolutional one, a layer's work between
            its two convolutions.
        generator: draws the label projection.

    Raises:
        UserError: an unknown contrast or engine; at `start`, a batch of one under "batch"; at
            `sequence`, engine "native" where it can't be used.
    """

    name = "tp"
    locality = Locality(
        space=True, time=True, auxiliary="S (O·H), once", update_locked=False,
        weight_transport="no", batch=True,
    )  # fmt: skip
    unsaved = ("engine",)
    block: ClassVar[int] = tp_blocks.BLOCK
    """With more target rows than this, a step goes over its rows in blocks of as many."""

    def __init__(
        self,
        net: Network,
        contrast: Literal["batch", "class"] = "batch",
        train_label: bool = False,
        label_threshold: float | None = None,
        *,
        engine: Literal["auto", "torch", "native"] = "auto",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(net)
        if contrast not in ("batch", "class"):
            raise UserError(f"rule.contrast: {contrast!r} is neither 'batch' nor 'class'")
        if engine not in ("auto", "torch", "native"):
            raise UserError(f"rule.engine: {engine!r} is none of 'auto', 'torch', 'native'")
        self.contrast, self.train_label = contrast, train_label
        self.locality = replace(self.locality, batch=contrast == "batch")
        self.engine, self._memory = engine, train.Memory()
        self.fused = False  # found out by `_refresh`, as what follows
        self.packed: list[convolve.Packed | None] = []
        first, weight = net.layers[0], net.layers[0].weight
        default = first.neuron.threshold if len(first.shape) == 1 else 1.0
        self.label_threshold = default if label_threshold is None else label_threshold
        label = Label(
            net.classes, math.prod(first.shape), neuron=first.neuron, shape=first.shape,
            recurrent=first.recurrent is not None, standardise=first.standardise, gain=net.gain,
            generator=generator,
        ).to(weight.device, weight.dtype)  # fmt: skip
        if not train_label:
            freeze(label, "weight")
        freeze(label, "recurrent")
        self.label = label

    def _rows(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The target stream's rows: the class of each (C,), and each sample's row (B,)."""
        if self.contrast == "class":
            return torch.arange(self.classes, device=labels.device), labels
        if len(labels) < 2:
            raise UserError("batch: one sample has no contrast; use contrast='class' or more")
        classes, row = torch.unique(labels, return_inverse=True)
        return classes, row

    def _start(self, labels: Tensor) -> None:
        classes, row = self._rows(labels)
        every = len(classes) <= len(labels)  # else P is made for the samples' classes alone
        asked = torch.arange(len(classes), device=labels.device) if every else row
        target = row if every else torch.arange(len(labels), device=labels.device)
        rows, like = len(labels) + len(classes), self.net.readout.weight
        first, *_ = layers = list(self.net.layers)
        threshold = like.new_full((rows, *[1] * len(first.shape)), first.neuron.threshold)
        threshold[len(labels) :] = self.label_threshold
        self.state |= {
            "membrane": [layer.rest(rows, layer.shape) for layer in layers],
            "spikes": [layer.rest(rows, layer.shape) for layer in layers],
            "trace": [layer.rest(rows, layer.out_shape) for layer in layers],
            "threshold": [threshold],
            "row": [row],
            "classes": [classes],
            "asked": [asked],
            "target": [target],
        }
        self.state["log_n"] = [self._log_counts(torch.ones_like(row))]

    def _step(self, x: Tensor, running: Tensor | None) -> Tensor:
        state, net, label, n = self.state, self.net, self.label, self.batch
        (asked,), (target,), (classes,) = state["asked"], state["target"], state["classes"]
        if len(classes) > self.block:
            return tp_blocks.step(self, x, running)
        dtype = net.readout.weight.dtype
        alive = 1.0 / n if running is None else running[:, None].to(dtype) / n
        log_n = state["log_n"][0] if running is None else self._log_counts(running)
        distance = self._label_distance()

        for i, layer in enumerate(net.layers):
            u, previous, trace = (state[k][i] for k in ("membrane", "spikes", "trace"))
            threshold = layer.neuron.threshold if i else state["threshold"][0]
            if i:
                v = layer.current(x, previous, self.kernels[i], packed=self.packed[i])
            else:
                v = layer.current(x, previous[:n], self.kernels[i], packed=self.packed[i])
                v = torch.cat([v, label.current(classes, previous[n:], self.label_kernels[0])])
            if self.fused:
                other = layer.neuron.threshold if i else self.label_threshold
                u, s, psi = maps.fire(layer.neuron, v, u, n, other)
            else:
                u, s, psi = fire(layer.neuron, v, u, threshold)
            del v
            state["membrane"][i], state["spikes"][i] = u, s
            out = layer.pool(s)
            z = layer.rows(torch.add(out, trace, alpha=layer.neuron.lam, out=trace))

            a = torch.addmm(log_n, z[:n], z[n:].t(), alpha=1 / layer.pixels).log_softmax(1)
            p = (log_n - distance).softmax(1)[target]  # as the layer below sees them
            e = (a.exp() - p).mul_(alive)
            share = e / layer.pixels
            delta = share @ z[n:]
            if i or self.train_label:
                delta = torch.cat([delta, share.t() @ z[:n]])
            rows = len(delta)
            g = layer.spread(layer.maps(delta), s[:rows], psi[:rows], self.fused)
            layer.accumulate(g[: len(x)], x, previous[: len(x)], fused=self.fused)
            if not i and self.train_label:
                label.accumulate(g[n:], classes, previous[n:])

            self._record(i, cross_entropy(p, a - log_n, alive), s[:n], running)
            distance = trace_distance(z[n:].view(-1, layer.pixels, layer.channels), asked)
            x = out
            del psi, delta, g  # before the next layer makes its own

        return self._readout(x[:n], alive, running)

    def _readout(self, x: Tensor, alive: Tensor | float, running: Tensor | None) -> Tensor:
        """The readout's step from the samples' spikes of the last layer; returns the logits."""
        state, net, (labels,) = self.state, self.net, self.state["labels"]
        dtype = net.readout.weight.dtype
        drive = F.linear(x.flatten(1).to(self.kernels[-1].dtype), self.kernels[-1]).to(dtype)
        logits = drive.add_(state["logits"][0], alpha=net.readout_decay)
        y = torch.zeros_like(logits).scatter_(1, labels[:, None], 1.0)
        log_softmax = logits.log_softmax(1)
        z = state["trace"][-1][: len(x)].flatten(1)
        add_product(net.readout.weight, (log_softmax.exp() - y).mul_(alive), z, dtype)
        self._record(-1, cross_entropy(y, log_softmax, alive), None, running)
        return logits if running is None else logits.where(running[:, None], state["logits"][0])

    def _add_class(self, generator: torch.Generator | None) -> None:
        old = self.label.weight.shape[1]
        if self.net.classes != old + 1:
            raise UserError(
                f"rule.add_class: the network has {self.net.classes} classes, the rule {old}; "
                "call net.add_class() once before"
            )
        self.label.add_column(self.net.gain, generator)

    def _refresh(self) -> None:
        self.label_kernels: list[Tensor] = []  # in a list: no parameter; the old one goes first
        super()._refresh()
        layers = self.net.layers
        self.fused = self.engine != "torch" and maps.obstacle(self.net) is None
        with torch.no_grad():
            self.packed = [
                layer.pack(kernel) if self.fused else None
                for layer, kernel in zip(layers, self.kernels, strict=False)
            ]
            self.label_kernels = [self.label.kernel()]

    def _whole(
        self, events: Tensor, optimizer: torch.optim.Optimizer | None, every: int | None
    ) -> bool:
        if self.engine == "torch":
            return False
        self._fit(events[0])
        changed = overridden(self, TracesPropagation, *INERT)
        reason = f"it doesn't know a {changed} of your own" if changed else None
        reason = reason or train.obstacle(self, events, optimizer, every)
        if reason is not None:
            if self.engine == "native" and maps.obstacle(self.net) is not None:
                raise UserError(f"rule.engine: the native one can't be used: {reason}")
            return False
        lengths = self.state["lengths"][0] if self.state["lengths"] else None
        train.sequence(self, events, lengths, optimizer, every, self._memory)
        self.time = len(events)
        return True

    def _log_counts(self, running: Tensor) -> Tensor:
        """log n_c of the samples ``running`` (B,), (C,); zeros under the class contrast."""
        (row,), (classes,) = self.state["row"], self.state["classes"]
        counts = self.net.readout.weight.new_zeros(len(classes))
        if self.contrast == "class":
            return counts
        counts.index_add_(0, row, running.to(counts.dtype))
        return torch.where(counts.sum() > 0, counts.log(), 0.0)

    def _label_distance(self) -> Tensor:
        """D of the traces of the one-hot labels: all alike but from one's own."""
        lam, steps = self.net.layers[0].neuron.lam, self.time + 1
        trace = steps if lam == 1 else (1 - lam**steps) / (1 - lam)
        (classes,), (asked,) = self.state["classes"], self.state["asked"]
        same = (classes[asked][:, None] == classes).to(self.net.readout.weight.dtype)
        apart, equal = math.sqrt(2) * trace, SHIFT * math.sqrt(self.classes)
        return apart + (equal - apart) * same


def freeze(module: nn.Module, name: str) -> None:
    """Make a parameter a buffer: saved and moved with the module, trained by nobody."""
    value = getattr(module, name)
    if value is not None:
        delattr(module, name)
        module.register_buffer(name, value.detach())
