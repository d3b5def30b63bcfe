"""A step of Traces Propagation for very many classes: over the rows in blocks, exact.

What a step of `rules.tp` makes beside the state has as many rows as there are samples and classes.
But rows meet in A and D only; all else is each row's own. So a layer goes over its rows twice, a
block at a time, and what it makes for a block is gone before the next one:

    first    v^t = β u^{t−1} + I^t, in the place of u;  z^t = λ z^{t−1} + p([v^t ≥ θ])
    between  A, P and E, from the traces of all rows
    second   s^t and σ' from v^t again;  g = p*(δ) ⊙ σ';  ∂W += gᵀ x,  ∂R += gᵀ s^{t−1};
             u^t in the place of v^t, s^t in that of s^{t−1}

The same up to the rounding of sums. What remains that grows with the classes is B×C: A, P, E, D;
and, where weights are standardised, S and W_o once more, and S three times where it is trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synaptrace.neuron import reset
from synaptrace.rules.contrast import cross_entropy, trace_distance

if TYPE_CHECKING:
    from synaptrace.rules.tp import TracesPropagation

BLOCK = 512
"""Rows of a block; with as many target rows or fewer a step takes all at once."""


def step(rule: TracesPropagation, x: Tensor, running: Tensor | None) -> Tensor:
    """`TracesPropagation._step`, in blocks of ``rule.block`` rows."""
    state, n = rule.state, rule.batch
    (asked,), (target,), (classes,) = state["asked"], state["target"], state["classes"]
    dtype = rule.net.readout.weight.dtype
    alive = 1.0 / n if running is None else running[:, None].to(dtype) / n
    log_n = state["log_n"][0] if running is None else rule._log_counts(running)
    distance = rule._label_distance()

    for i, layer in enumerate(rule.net.layers):
        for rows in blocks(n, n + len(classes), rule.block):
            fire(rule, i, rows, x)
        z = layer.rows(state["trace"][i])
        a = torch.addmm(log_n, z[:n], z[n:].t(), alpha=1 / layer.pixels).log_softmax(1)
        p = (log_n - distance).softmax(1)[target]
        del distance
        e = (a.exp() - p).mul_(alive)
        rule._record(i, cross_entropy(p, a - log_n, alive), None, running)
        del a, p
        e.div_(layer.pixels)
        for rows in blocks(n, n + len(classes), rule.block):
            learn(rule, i, rows, x, e)
        del e
        rule._record(i, None, state["spikes"][i][:n], running)
        distance = trace_distance(z[n:].view(-1, layer.pixels, layer.channels), asked, rule.block)

    del distance
    return rule._readout(rule.net.layers[-1].pool(state["spikes"][-1][:n]), alive, running)


def blocks(n: int, rows: int, size: int) -> Iterator[slice]:
    """Blocks of at most ``size`` of ``rows`` rows, the first n of which are samples; none has both
    samples and classes."""
    for start, stop in ((0, n), (n, rows)):
        for first in range(start, stop, size):
            yield slice(first, min(first + size, stop))


def fire(rule: TracesPropagation, i: int, rows: slice, x: Tensor) -> None:
    """The first pass of layer i: v in the place of u, and the trace of this step."""
    layer, by_label = rule.net.layers[i], not i and rows.start >= rule.batch
    u, previous, trace = (rule.state[k][i][rows] for k in ("membrane", "spikes", "trace"))
    inputs = heard(rule, i, rows, x)
    if by_label:
        current = rule.label.current(inputs, previous, rule.label_kernels[0])
    else:
        current = layer.current(inputs, previous, rule.kernels[i], packed=rule.packed[i])
    v = torch.add(current, u, alpha=layer.neuron.beta, out=u)
    s = (v >= (rule.label_threshold if by_label else layer.neuron.threshold)).to(v.dtype)
    torch.add(layer.pool(s), trace, alpha=layer.neuron.lam, out=trace)


def learn(rule: TracesPropagation, i: int, rows: slice, x: Tensor, e: Tensor) -> None:
    """The second pass of layer i: gradients from E / pixels, then u and s of this step."""
    layer, n, by_label = rule.net.layers[i], rule.batch, not i and rows.start >= rule.batch
    v, previous = (rule.state[k][i][rows] for k in ("membrane", "spikes"))
    threshold = rule.label_threshold if by_label else layer.neuron.threshold
    s = (v >= threshold).to(v.dtype)
    if rule.train_label or not by_label:
        z, inputs = layer.rows(rule.state["trace"][i]), heard(rule, i, rows, x)
        if rows.start < n:
            delta = e[rows] @ z[n:]
        else:
            delta = e[:, rows.start - n : rows.stop - n].t() @ z[:n]
        psi = layer.neuron.surrogate(v - threshold)
        g = layer.spread(layer.maps(delta), s, psi, rule.fused)
        if not by_label:
            layer.accumulate(g, inputs, previous, fused=rule.fused)
        else:
            rule.label.accumulate(g, inputs, previous)
    v.copy_(reset(layer.neuron, v, s, threshold))
    previous.copy_(s)


def heard(rule: TracesPropagation, i: int, rows: slice, x: Tensor) -> Tensor:
    """What some rows of layer i hear: the layer below or, in the first one, x or their class."""
    if i:
        return rule.net.layers[i - 1].pool(rule.state["spikes"][i - 1][rows])
    if rows.start < rule.batch:
        return x[rows]
    return rule.state["classes"][0][rows.start - rule.batch : rows.stop - rule.batch]
