"""One time step of Traces Propagation: both streams up through the layers, each of which learns
from its own contrast; then the readout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synaptrace.layers import add_product
from synaptrace.rules.tp import presynaptic
from synaptrace.rules.tp.contrast import (
    contrast_error,
    cross_entropy,
    errors,
    sample_errors,
    similarity,
    target_distribution,
    temperature,
    trace_distance,
)

if TYPE_CHECKING:
    from synaptrace.rules.tp.rule import TracesPropagation


def step(rule: TracesPropagation, x: Tensor, running: Tensor | None) -> Tensor:
    """The step on ``x`` (B, *in_shape); returns the logits (B, classes).

    ``running`` (B,) bool says which samples haven't ended; None: all.
    """
    state, targets, n = rule.state, rule.targets, rule.batch
    weight, log_n = rule.sample_weight(running), rule.log_counts(running)
    distance = rule.label_distance()

    for i, (layer, does) in enumerate(zip(rule.net.layers, rule.operations, strict=False)):
        u, previous, trace = (state[k][i] for k in ("membrane", "spikes", "trace"))
        u, s, slope = does.fire(input_current(rule, i, x, previous), u, *rule.thresholds(i))
        out = layer.pool(s)
        trace = torch.add(out, trace, alpha=layer.neuron.lam, out=trace)  # z = λ z + p(s)
        state["membrane"][i], state["spikes"][i] = u, s

        z, y = layer.points(trace).tensor_split([n])
        tau = temperature(rule.contrast, y)
        a = similarity(z, y) / tau
        p = targets.of_samples(target_distribution(distance, log_n))
        e, loss = contrast_error(a, p, log_n, weight)
        samples_alone = i == 0 and not rule.train_label  # as S stays, no label row learns
        delta = sample_errors(e / tau, y) if samples_alone else errors(e / tau, z, y)
        learn(rule, i, delta, s, slope, x, previous)

        rule._record(i, loss, s[:n], running)
        distance = trace_distance(y, targets.wanted)
        x = out
        del slope, delta, a, p, e  # before the next layer makes its own

    return read_out(rule, x[:n], weight, running)


def input_current(rule: TracesPropagation, i: int, x: Tensor, previous: Tensor) -> Tensor:
    """I = W x + R s' of both streams; in layer 1 the label's projection has W's place for rows of
    the target stream."""
    if i:
        return rule.operations[i].current(x, previous)
    n, classes = rule.batch, rule.targets.class_of_row
    samples = rule.operations[0].current(x, previous[:n])
    return torch.cat([samples, rule.label_operations.current(classes, previous[n:])])


def learn(
    rule: TracesPropagation, i: int, delta: Tensor, s: Tensor, slope: Tensor, x: Tensor,
    previous: Tensor,
) -> None:  # fmt: skip
    """g = p*(δ) ⊙ σ', and ∂W = gᵀ x̄, ∂R = gᵀ s̄ of layer i, from δ of the rows that learn."""
    layer, does, n = rule.net.layers[i], rule.operations[i], rule.batch
    learning = len(delta)
    through = len(x)  # rows that W brings in: above layer 1 both streams, in it the samples alone
    g = does.membrane_error(layer.maps(delta), s[:learning], slope[:learning])
    beta = layer.neuron.beta
    x_bar, s_bar = presynaptic.factors(rule.presynaptic, rule.state, i, beta, x, previous[:through])
    does.accumulate(g[:through], x_bar, s_bar)
    if i == 0 and rule.train_label:
        g_label = presynaptic.label_error(rule.presynaptic, beta, rule.time + 1, g[n:])
        rule.label_operations.accumulate(g_label, rule.targets.class_of_row, previous[n:])


def read_out(
    rule: TracesPropagation, x: Tensor, weight: Tensor | float, running: Tensor | None
) -> Tensor:
    """m = α m + W_o s_L and ∂W_o = (softmax(m) − y)ᵀ Z_L / B; returns the logits."""
    state, net, (labels,) = rule.state, rule.net, rule.state["labels"]
    current = rule.operations[-1].current(x, x)
    logits = current.add_(state["logits"][0], alpha=net.readout_decay)
    label = torch.zeros_like(logits).scatter_(1, labels[:, None], 1.0)
    log_softmax = logits.log_softmax(1)
    z = state["trace"][-1][: len(x)].flatten(1)
    add_product(net.readout.weight, (log_softmax.exp() - label).mul_(weight), z, logits.dtype)
    rule._record(-1, cross_entropy(label, log_softmax, weight), None, running)
    return logits if running is None else logits.where(running[:, None], state["logits"][0])
