"""A step of the sample stream in the native engine, for the rules on it (`stream`).

One call does for all layers of a dense network what comes before a rule's own equations: currents,
of which spikes read the rows of weights that they need alone, neurons, σ', the readout's logits and
its error. Results are those of PyTorch's step up to rounding; `stepping` says when a step's
structures may be used again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synaptrace import stepping
from synaptrace.inference import describe, unfit
from synaptrace.native import library
from synaptrace.native.library import address, lies

if TYPE_CHECKING:
    from synaptrace.rules.stream import SampleStream

OURS = "synaptrace.rules."
"""Rules of other modules may do something else between two layers, and run on PyTorch."""

MANY = 50_000
"""Inputs of a batch from which on a product of matrices is quicker, if most aren't zeros."""


class Ahead:
    """What the present step's layers do, before the rule has come to them."""

    def __init__(self) -> None:
        self.forward: Forward | None = None
        self.start()

    def __reduce__(self) -> tuple[type[Ahead], tuple[()]]:
        return Ahead, ()

    def start(self) -> None:
        """A batch begins."""
        self.declined = False
        self.forget()

    def forget(self) -> None:
        """The step is over, or it was not done here."""
        self.u: list[Tensor] = []
        self.s: list[Tensor] = []
        self.psi: list[Tensor] = []
        self.v: list[Tensor] = []
        self.logits: Tensor | None = None
        self.error: Tensor | None = None
        self.rated = False

    def look(self, rule: SampleStream, x: Tensor) -> None:
        """Do the step on x (B, *in_shape) of a rule in its midst, if the engine can."""
        self.forget()
        if self.declined or type(x) is not Tensor or stepping.watched():
            return
        x, known = x.flatten(1).contiguous(), self.forward
        if x.numel() > MANY and x.is_cpu and 2 * int(x.count_nonzero()) > x.numel():
            return
        if known is None or not known.takes(x):
            self.forward = None
            if obstacle(rule, x) is not None:
                self.declined = True  # nor is it asked again in this batch
                return
            known = self.forward = Forward(rule, x)
        known.advance(rule, x, self)


def obstacle(rule: SampleStream, x: Tensor) -> str | None:
    """Why the engine can't do the rule's steps; None where it can."""
    if not type(rule).__module__.startswith(OURS):
        return "it doesn't know a rule of your own"
    if not stepping.unstandardised(rule.net):
        return "it has standardised weights in whole sequences only"
    return unfit(rule.net, x)


class Forward(stepping.Prepared):
    """The structures of a rule's steps.

    Args:
        rule: amid a sequence, with nothing against it.
        x: (B, inputs) contiguous, the input of the next step.
    """

    def __init__(self, rule: SampleStream, x: Tensor) -> None:
        net = rule.net
        job = describe(net, stepping.weights(net), x[None], learn=False)
        super().__init__(job, *stepping.watch(net), stepping.all_weights(net), x)
        self.dtype = x.dtype
        rows = [(len(x), *layer.shape) for layer in net.layers]
        shapes = map(torch.Size, [*rows, *rows, (len(x), net.classes)])
        self.kept = [*((x.dtype, x.layout, x.is_cpu, shape) for shape in shapes), *self.given]
        self.errs = not rule.weighs
        self.batch: list[Tensor] = []
        """The records of the batch that the structures hold to."""

    def begin(self, rule: SampleStream) -> bool:
        """Hold to the records of the rule's batch; False where they can't be read."""
        state = rule.state
        batch = [t for name in ("labels", "lengths", "losses", "rates") for t in state[name]]
        if len(batch) == len(self.batch) and all(map(same, batch, self.batch)):
            return True
        whole, self.batch = [*state["labels"], *state["lengths"]], []
        if not all(lies(t, torch.int64) for t in whole):
            return False
        if not all(lies(t, self.dtype) for t in (*state["losses"], *state["rates"])):
            return False
        self.batch = batch
        self.job.labels, self.job.whole = address(whole[0], torch.int64), rule.whole
        self.job.lengths = address(whole[1], torch.int64) if whole[1:] else None
        self.step.losses = address(state["losses"][0], self.dtype)
        rates = state["rates"][0] if "whole_labels" not in state else None
        self.step.rates = None if rates is None else address(rates, self.dtype)
        return True

    def advance(self, rule: SampleStream, x: Tensor, ahead: Ahead) -> None:
        """Do the next step on x (B, inputs) contiguous; leaves what it comes to in ``ahead``, or
        nothing where the state doesn't lie as the engine reads it."""
        state, n = rule.state, len(self.state)
        (before,), old = state["logits"], [*state["membrane"], *state["spikes"]]
        found = library.places([*old, before, x], self.kept)
        if found is None or not self.begin(rule):
            return
        like, ahead.logits = old[:n], torch.empty_like(before)
        ahead.u, ahead.s, ahead.psi, ahead.v = (
            [torch.empty_like(t) for t in like] for _ in range(4)
        )
        for i, there in enumerate(self.state):
            there.membrane, there.spikes = found[i], found[n + i]
            there.next_membrane, there.next_spikes = ahead.u[i].data_ptr(), ahead.s[i].data_ptr()
            there.slope, there.v = ahead.psi[i].data_ptr(), ahead.v[i].data_ptr()
        if self.errs:
            ahead.error = torch.empty_like(before)
            self.step.error = ahead.error.data_ptr()
        self.step.before, self.job.logits = found[-2], ahead.logits.data_ptr()
        self.job.events, self.step.time = found[-1], rule.time
        ahead.rated = bool(self.step.rates)
        self.run()


def same(a: Tensor, b: Tensor) -> bool:
    """Whether it is one and the same tensor."""
    return a is b
