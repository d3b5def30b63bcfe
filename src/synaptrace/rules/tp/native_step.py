"""A step of Traces Propagation in the native engine, where `execute` found it able to.

Weights, gradients and the rule's state are read and written where they lie, so that steps of either
kind may follow each other. Of the label's recurrent weights alone, which nothing trains, a copy is
kept while a batch lasts and PyTorch counts no change of theirs. Results are those of the plain step
up to rounding (`inference` says more); membranes and spikes are new numbers in the tensors that
held the old ones.
"""

from __future__ import annotations

from operator import attrgetter, getitem, is_
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synaptrace import stepping
from synaptrace.inference import describe
from synaptrace.native import library
from synaptrace.native.library import address, lies
from synaptrace.rules.tp.native import describe_batch, describe_label, find, trained

if TYPE_CHECKING:
    from synaptrace.rules.tp.rule import TracesPropagation

PER_LAYER = ("membrane", "spikes", "trace", "input_trace", "recurrent_trace")
OVERALL = ("losses", "rates")
BATCH = ("labels", "row_of_sample", "class_of_row", "lengths")
"""Names in the rule's state."""
requires_grad, version = attrgetter("requires_grad"), attrgetter("_version")


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
        x: (B, inputs), the input of the next step, as the engine reads it.
    """

    def __init__(self, rule: TracesPropagation, x: Tensor) -> None:
        net, label, state = rule.net, rule.label, rule.state
        job = describe(net, stepping.weights(net), x[None], learn=True)
        lengths = state["lengths"][0] if state["lengths"] else None
        describe_batch(job, rule, lengths)
        describe_label(job, rule)
        names = [name for name in (*PER_LAYER, *OVERALL, *BATCH) if name in state]
        self.lists = [state[name] for name in names for _ in state[name]]
        self.indices = [i for name in names for i in range(len(state[name]))]
        self.items = [t for name in names for t in state[name]]
        read, owners = stepping.watch(net)
        read += stepping.slots(
            rule, "state", "label", "contrast", "presynaptic", "train_label", "label_threshold"
        )
        read += stepping.slots(label, "weight", "recurrent", "neuron", "compute", "standardise")
        read += [(state, name, state[name]) for name in names]
        own = [w for w in (label.weight, label.recurrent) if w is not None]
        self.weights = [*stepping.all_weights(net), *own]
        owners += [vars(rule), vars(label), state, *(state[name] for name in names)]
        super().__init__(job, read, owners, [*self.weights, *self.items], x)
        self.untrained = [
            w for w in own[1:] if w is label._buffers.get("recurrent") and not w.is_inference()
        ]
        self.versions, self.step.keeps_label = [-1], bool(self.untrained)
        self.learns = list(map(requires_grad, self.weights))
        self.trained = [p for p, _ in trained(rule)]
        self.matrices = [find(job, place) for _, place in trained(rule)]
        self.gradients = list(map(library.look, self.trained))
        dtype = x.dtype
        self.given += [library.look(state["logits"][0])]
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

    def same(self) -> bool:
        """As `Prepared.same`, the state's lists and what is trained included."""
        return (
            super().same()
            and all(map(is_, map(getitem, self.lists, self.indices), self.items))
            and list(map(requires_grad, self.weights)) == self.learns
        )

    def advance(self, rule: TracesPropagation, x: Tensor) -> Tensor | None:
        """The next step; returns the logits, or None where x (B, inputs), a gradient or the last
        logits don't lie as the engine reads them or the structures no longer fit, and nothing was
        done."""
        before, gradients = rule.state["logits"][0], [p.grad for p in self.trained]
        there = [g for g in gradients if g is not None]
        looks = [k for g, k in zip(gradients, self.gradients, strict=True) if g is not None]
        addresses = self.locate((x, before, *there), [*self.given, *looks])
        if addresses is None:
            return None
        self.job.events, self.step.before, *found = addresses
        for parameter, gradient, matrix in zip(self.trained, gradients, self.matrices, strict=True):
            matrix.has_grad = gradient is not None
            if gradient is None:
                parameter.grad = torch.empty_like(parameter)
                matrix.grad = parameter.grad.data_ptr()
            else:
                matrix.grad = found.pop(0)
        logits = torch.empty_like(before)
        self.job.logits, self.step.time = logits.data_ptr(), rule.time
        versions = list(map(version, self.untrained))
        self.step.has_label = rule.time and versions == self.versions
        self.versions = versions
        self.run()
        return logits
