"""A step of Traces Propagation for very many classes: over the rows in blocks, exact.

What `step` makes beside the state has as many rows as there are samples and classes.
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

from synaptrace.neuron import integrate, reset, spike
from synaptrace.rules.tp import presynaptic
from synaptrace.rules.tp.contrast import (
    contrast_error,
    similarity,
    target_distribution,
    temperature,
    trace_distance,
)
from synaptrace.rules.tp.step import read_out

if TYPE_CHECKING:
    from synaptrace.rules.tp.rule import TracesPropagation

BLOCK = 512
"""Rows of a block; with as many target rows or fewer a step takes all at once."""


def step(rule: TracesPropagation, x: Tensor, running: Tensor | None) -> Tensor:
    """`step.step`, in blocks of ``rule.block`` rows."""
    state, targets, n = rule.state, rule.targets, rule.batch
    weight, log_n = rule.sample_weight(running), rule.log_counts(running)
    distance, all_rows = rule.label_distance(), n + len(targets)

    for i, layer in enumerate(rule.net.layers):
        for rows in blocks(n, all_rows, rule.block):
            fire(rule, i, rows, x)
        z, y = layer.points(state["trace"][i]).tensor_split([n])
        tau = temperature(rule.contrast, y)
        a = similarity(z, y) / tau
        p = targets.of_samples(target_distribution(distance, log_n))
        del distance
        e, loss = contrast_error(a, p, log_n, weight)
        del a, p
        e.div_(tau).div_(layer.pixels)
        for rows in blocks(n, all_rows, rule.block):
            learn(rule, i, rows, x, e)
        del e
        rule._record(i, loss, state["spikes"][i][:n], running)
        distance = trace_distance(y, targets.wanted, rule.block)

    del distance
    return read_out(rule, rule.net.layers[-1].pool(state["spikes"][-1][:n]), weight, running)


def blocks(n: int, rows: int, size: int) -> Iterator[slice]:
    """Blocks of at most ``size`` of ``rows`` rows, the first n of which are samples; none has both
    samples and classes."""
    for start, stop in ((0, n), (n, rows)):
        for first in range(start, stop, size):
            yield slice(first, min(first + size, stop))


def fire(rule: TracesPropagation, i: int, rows: slice, x: Tensor) -> None:
    """The first pass of layer i: v in the place of u, and the trace of this step."""
    layer, by_label = rule.net.layers[i], not i and rows.start >= rule.batch
    does = rule.label_operations if by_label else rule.operations[i]
    u, previous, trace = (rule.state[k][i][rows] for k in ("membrane", "spikes", "trace"))
    current = does.current(heard(rule, i, rows, x), previous)
    v = integrate(layer.neuron, current, u, out=u)
    s = spike(layer.neuron, v, rule.label_threshold if by_label else None)
    torch.add(layer.pool(s), trace, alpha=layer.neuron.lam, out=trace)


def learn(rule: TracesPropagation, i: int, rows: slice, x: Tensor, e: Tensor) -> None:
    """The second pass of layer i: gradients from E / pixels / τ, then u and s of this step."""
    layer, n, by_label = rule.net.layers[i], rule.batch, not i and rows.start >= rule.batch
    v, previous = (rule.state[k][i][rows] for k in ("membrane", "spikes"))
    threshold = rule.label_threshold if by_label else layer.neuron.threshold
    s = spike(layer.neuron, v, threshold)
    if rule.train_label or not by_label:
        z, beta = layer.rows(rule.state["trace"][i]), layer.neuron.beta
        if rows.start < n:
            delta = e[rows] @ z[n:]
        else:
            delta = e[:, rows.start - n : rows.stop - n].t() @ z[:n]
        slope = layer.neuron.surrogate(v - threshold)
        g = rule.operations[i].membrane_error(layer.maps(delta), s, slope)
        inputs = heard(rule, i, rows, x)
        if not by_label:
            how, state = rule.presynaptic, rule.state
            x_bar, s_bar = presynaptic.factors(how, state, i, beta, inputs, previous, rows)
            rule.operations[i].accumulate(g, x_bar, s_bar)
        else:
            g = presynaptic.label_error(rule.presynaptic, beta, rule.time + 1, g)
            rule.label.accumulate(g, inputs, previous)
    v.copy_(reset(layer.neuron, v, s, threshold))
    previous.copy_(s)


def heard(rule: TracesPropagation, i: int, rows: slice, x: Tensor) -> Tensor:
    """What some rows of layer i hear: the layer below or, in the first one, x or their class."""
    if i:
        return rule.net.layers[i - 1].pool(rule.state["spikes"][i - 1][rows])
    if rows.start < rule.batch:
        return x[rows]
    return rule.targets.class_of_row[rows.start - rule.batch : rows.stop - rule.batch]
