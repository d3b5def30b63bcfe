"""The work space of Traces Propagation: all rows at once, or by blocks of class rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synaptrace.cost.sizes import Case
from synaptrace.cost.work_parts import kernels, unpooling, update
from synaptrace.rules.tp import blocks


def traces_propagation(c: Case, o: Mapping[str, Any]) -> int:
    """All rows at once, or in blocks where there are more than a block of classes."""
    classes = {"batch": c.present, "class": c.classes, "sample": 0}[o["contrast"]]
    return tp_in_blocks(c, o, classes) if classes > blocks.BLOCK else tp(c, o)


def tp_in_blocks(c: Case, o: Mapping[str, Any], classes: int) -> int:
    """A block's v and s; A, P and E, and the loss's terms; E and a block's s, δ and g, and σ' or u′
    while they are made; D, by blocks. Rows of the largest block that learns. ∂S is added at once
    but where it is standardised, whose copy is made from two of its size. (The readout's gradient
    stays as it is.)"""
    label, given = c.classes * c.layers[0].neurons, o["train_label"]
    block, chained = blocks.BLOCK, 3 * label if given and c.standardised else 0
    pairs, apart = c.batch * classes, min(c.batch, classes) * classes
    moments: list[float] = [3 * apart]
    below = 0
    for i, layer in enumerate(c.layers):
        h, p, near = layer.neurons, layer.outputs, min(c.batch, classes, layer.channels)
        heard = 2 * h if layer.recurrent or not i else h
        rows = block if i or given else min(c.batch, block)
        made = below + 2 * h + p
        moments += [
            apart + block * (below + max(heard, 2 * h + max(h / 4, layer.pooled + layer.indices))),
            max(3 * apart + pairs, 6 * pairs),
            pairs + rows * (made + max(unpooling(layer), 2 * h if c.hard else h)),
            pairs + block * (3 if c.hard else 2) * h,
            pairs + rows * made + max(layer.scratch, 0 if i else chained),
            apart + near * (p + layer.pixels * block),
        ]
        below = layer.pooled
    last = c.layers[-1]
    maps = last.outputs if last.pixels > 1 else 0
    moments.append(c.batch * (5 * c.classes + last.pooled + maps))
    if not c.standardised:
        return kernels(c) + int(max(moments))
    missing = c.weights + label * given + c.batch * c.layers[0].inputs
    moments += [2 * max(layer.weights for layer in c.layers), label - missing]
    return kernels(c) + label + int(max(moments))


def tp(c: Case, o: Mapping[str, Any]) -> int:
    """Rows are B samples and C classes. A layer's v, u′, s′ and ψ while it fires, of which ψ, which
    becomes g, and the spikes before stay; δ; A, P, E and E's share; and distances, those of at most
    B class rows."""
    classes = {"batch": c.present, "class": c.classes, "sample": c.batch}[o["contrast"]]
    rows, pairs, asked = c.batch + classes, c.batch * classes, min(c.batch, classes)
    apart, below, few = asked * classes, 0, asked * classes
    moments, label = [update(c)], c.classes * c.layers[0].neurons
    for i, layer in enumerate(c.layers):
        h, p = layer.neurons, layer.outputs
        learning = rows if i or o["train_label"] else c.batch
        both = learning == rows
        made = rows * (2 * h + layer.pooled + below)
        here = made + 4 * pairs + apart
        learnt, block = here + learning * p, min(asked, layer.channels)
        moments += [
            few + rows * (4 * h + below) + 1,
            few + made + rows * layer.indices,
            few + made + max(2 * pairs, 2 * apart, pairs + apart),
            here + max(2 * pairs if i else 0, learning * p * (2 if both else 1)),
            learnt + learning * unpooling(layer),
            learnt + max(layer.scratch, 3 * pairs),
            learnt + block * (p + layer.pixels * classes),
        ]
        if both and not i:
            flat = classes * h if layer.pixels > 1 else 0
            moments.append(learnt + max(label + flat, 3 * label + 4 * h if c.standardised else 0))
        few, below = 4 * pairs + apart, layer.pooled
    last = c.layers[-1]
    flat = c.batch * last.outputs if last.pixels > 1 else 0
    moments.append(few + rows * (last.neurons + below) + 5 * c.batch * c.classes + flat)
    return kernels(c) + (label if c.standardised else 0) + max(moments)
