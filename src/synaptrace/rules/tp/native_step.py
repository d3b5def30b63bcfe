"""A step of Traces Propagation in the native engine, where `execute` found it able to.

Weights, gradients and the rule's state are read and written where they lie, so that steps of either
kind may follow each other. Results are those of the plain step up to rounding (`inference` says
more); membranes and spikes are new numbers in the tensors that held the old ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synaptrace import stepping
from synaptrace.inference import describe
from synaptrace.native.library import address, lies
from synaptrace.rules.tp.native import describe_batch, describe_label, find, trained

if TYPE_CHECKING:
    from synaptrace.rules.tp.rule import TracesPropagation

PER_LAYER = ("membrane", "spikes", "trace", "input_trace", "recurrent_trace")
OVERALL = ("losses", "rates")
BATCH = ("labels", "row_of_sample", "class_of_row", "lengths")
"""Names in the rule's state."""


def obstacle(rule: TracesPropagation) -> str | None:
    """What of the rule's state the engine can't work on; None where there is nothing."""
    state, net = rule.state, rule.net
    if "whole_labels" in state:
        return "it knows parts of a batch in whole sequences only"
    if not stepping.unstandardised(net) or rule.label.standardise:
        return "it knows standardised weights in whole sequences only"
    dtype, rows = net.readout.weight.dtype, rule.batch + len(rule.targets)
    kept = [t for name in (*PER_LAYER, *OVERALL) for t in state.get(name, ())]
    whole = [t for name in BATCH for t in state[name]]
    if not all(lies(t, dtype) for t in kept) or not all(lies(t, torch.int64) for t in whole):
        return "it needs contiguous state of one dtype"
    if any(t.shape != (rows, *layer.shape) for name in PER_LAYER[:3]
           for t, layer in zip(state[name], net.layers, strict=True)):  # fmt: skip
        return "it needs the state of a batch"
    return None


class Learning(stepping.Prepared):
    """The structures of a rule's step.

    Args:
        rule: amid a sequence, with nothing against it.
        x: (B, inputs) contiguous, the input of the next step.
    """

    def __init__(self, rule: TracesPropagation, x: Tensor) -> None:
        net, label, state = rule.net, rule.label, rule.state
        job = describe(net, stepping.weights(net), x[None], learn=True)
        lengths = state["lengths"][0] if state["lengths"] else None
        describe_batch(job, rule, lengths)
        describe_label(job, rule)
        names = [name for name in (*PER_LAYER, *OVERALL, *BATCH) if name in state]
        self.lists = [(state[name], len(state[name])) for name in names]
        self.items = [(kept, i, t) for kept, _ in self.lists for i, t in enumerate(kept)]
        read, owners = stepping.watch(net)
        read += stepping.slots(
            rule, "state", "label", "contrast", "presynaptic", "train_label", "label_threshold"
        )
        read += stepping.slots(label, "weight", "recurrent", "neuron", "compute", "standardise")
        read += [(state, name, state[name]) for name in names]
        own = [w for w in (label.weight, label.recurrent) if w is not None]
        tensors = [*stepping.all_weights(net), *own, *(t for *_, t in self.items)]
        super().__init__(job, read, [*owners, vars(rule), vars(label), state], tensors)
        self.learns = [(w, w.requires_grad) for w in stepping.all_weights(net) + own]
        self.trained = [(p, find(job, place)) for p, place in trained(rule)]
        dtype, self.logits = x.dtype, torch.Size((rule.batch, rule.classes))
        for i, there in enumerate(self.state):
            u, s, z = (address(state[name][i], dtype) for name in PER_LAYER[:3])
            there.membrane = there.next_membrane = u
            there.spikes = there.next_spikes = s
            there.trace = z
            if "input_trace" in state:
                there.input_trace = address(state["input_trace"][i], dtype)
                if net.layers[i].recurrent is not None:
                    there.recurrent_trace = address(state["recurrent_trace"][i], dtype)
        self.step.losses = address(state["losses"][0], dtype)
        self.step.rates = address(state["rates"][0], dtype)

    def fits(self) -> bool:
        """As `Prepared.fits`, the state's lists and what is trained included."""
        for kept, n in self.lists:
            if len(kept) != n:
                return False
        for kept, i, before in self.items:
            if kept[i] is not before:
                return False
        for weight, learns in self.learns:
            if weight.requires_grad is not learns:
                return False
        return super().fits()

    def advance(self, rule: TracesPropagation, x: Tensor) -> Tensor | None:
        """The next step on x (B, inputs) contiguous; returns the logits, or None where a gradient
        or the last logits don't lie as the engine reads them, and nothing was done."""
        dtype, before = x.dtype, rule.state["logits"][0]
        if not lies(before, dtype) or before.shape != self.logits:
            return None
        for parameter, _ in self.trained:
            gradient = parameter.grad
            if gradient is not None and not lies(gradient, dtype):
                return None
        for parameter, matrix in self.trained:
            gradient = parameter.grad
            matrix.has_grad = gradient is not None
            if gradient is None:
                gradient = parameter.grad = torch.empty_like(parameter)
            matrix.grad = address(gradient, dtype)
        logits = torch.empty_like(before)
        self.step.before, self.job.logits = address(before, dtype), address(logits, dtype)
        self.job.events, self.step.time = address(x, dtype), rule.time
        self.run()
        return logits
