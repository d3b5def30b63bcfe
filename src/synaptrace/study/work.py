"""The work space of training: the most numbers alive at once beyond those kept between steps.

A function for each rule follows its step in `rules` and takes the largest of its moments; all count
numbers of four bytes. H neurons, P outputs (pooled), B samples, O classes of `sizes.Case`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from synaptrace.study.sizes import Case, Layer

Options = Mapping[str, Any]
Learn = Callable[[Layer], int]


# What layers and readout make.


def fired(layer: Layer) -> int:
    """What a layer's step leaves (`rules.stream.Fired`), for a sample: v, ψ, s′ and p(s)."""
    return 3 * layer.neurons + layer.pooled


def firing(layer: Layer) -> int:
    """The highest moment of a layer's step: v, v − θ, ψ, u′, s′ and the pooled spikes."""
    return 5 * layer.neurons + layer.pooled + layer.indices


def unpooling(layer: Layer) -> int:
    """An error on its way back through the pooling, beside the one that came; 0 without any."""
    if not layer.pooled:
        return 0
    return layer.neurons + (3 * layer.outputs if layer.pool == "max" else 0)


def readout(c: Case) -> int:
    """Five rows of classes; or three, and the gradient before it is summed up."""
    rows = c.batch * c.classes
    return max(5 * rows, 3 * rows + (c.readout if c.standardised else 0))


def kernels(c: Case) -> int:
    """Standardised copies of the weights, which live through a sequence."""
    return c.readout + sum(layer.weights for layer in c.layers) if c.standardised else 0


def update(c: Case) -> int:
    """The chain rule through the standardisation takes two of the largest matrix."""
    return 2 * max(c.readout, *(layer.weights for layer in c.layers)) if c.standardised else 0


# How steps are built from them.


def forward(c: Case) -> int:
    """All layers fire from the bottom up; what each leaves is kept for later."""
    below = [sum(map(fired, c.layers[:i])) for i in range(len(c.layers))]
    return c.batch * max(b + firing(layer) for b, layer in zip(below, c.layers, strict=True))


def together(c: Case, learn: Learn, up: bool = False, rows: int = 2) -> int:
    """All layers fire first, then learn one by one from the errors δ and g = δ ψ.

    ``learn``: what a layer makes for its gradient beyond them. Errors come from the top down or,
    direct ones, from the bottom ``up``; a layer's stay until the next one's are there. ``rows``:
    rows of classes beside them, of logits and errors.
    """
    left = c.batch * sum(map(fired, c.layers))
    kept = left + c.batch * rows * c.classes
    moments, before = [forward(c), left + readout(c), update(c)], 0
    for layer in c.layers if up else reversed(c.layers):
        both = 2 * layer.neurons
        coming = max(layer.outputs + unpooling(layer), both)
        moments.append(kept + c.batch * (before + coming))
        moments.append(kept + c.batch * both + learn(layer))
        before = both
    return kernels(c) + max(moments)


def alone(c: Case, learn: Learn) -> int:
    """Each layer fires and learns before the next one fires; ``learn`` counts all it makes."""
    moments, below = [readout(c), update(c)], 0
    for layer in c.layers:
        moments.append(c.batch * (below + firing(layer)))
        moments.append(c.batch * (below + fired(layer)) + learn(layer))
        below = layer.pooled
    return kernels(c) + max(moments)


# The rules.


def ottt(c: Case, o: Options) -> int:
    return together(c, lambda layer: layer.scratch)


def stllr(c: Case, o: Options) -> int:
    """δ ψ, weighed."""
    return together(
        c, lambda layer: c.batch * layer.neurons + layer.scratch, up=o["feedback"] == "dfa"
    )


def esdrtrl(c: Case, o: Options) -> int:
    """g ε_f; afterwards the terms of D."""

    def learn(layer: Layer) -> int:
        h = c.batch * layer.neurons
        return max(h + layer.scratch, (3 if c.hard else 2) * h)

    return together(c, learn)


def readout_only(c: Case, o: Options) -> int:
    last = 2 * c.readout if c.standardised else 0
    own = c.batch * sum(map(fired, c.layers)) + readout(c)
    return kernels(c) + max(forward(c), own, last)


def eprop(c: Case, o: Options) -> int:
    """κ = 0 is as OTTT; a trace for each synapse is summed up into a matrix."""
    up = o["feedback"] != "symmetric"
    if not o["kappa"]:
        return together(c, lambda layer: layer.scratch, up)
    return together(c, summed, up)


def summed(layer: Layer) -> int:
    """The gradient from a trace for each synapse, of the weights or the recurrent ones."""
    return max(layer.weights, layer.recurrent)


def etlp(c: Case, o: Options) -> int:
    return together(c, lambda layer: layer.scratch, up=True, rows=3)


def ostl(c: Case, o: Options) -> int:
    """Complete: the Jacobian and the moved trace of a layer, with the product that makes it."""
    return together(c, lambda layer: moved(c, layer, o))


def moved(c: Case, layer: Layer, o: Options) -> int:
    if not (o["complete"] and layer.recurrent):
        return summed(layer)
    squared = layer.recurrent
    return c.batch * squared * (layer.inputs + layer.neurons + 1)


def osttp(c: Case, o: Options) -> int:
    return together(c, summed, up=True, rows=3)


def stsf(c: Case, o: Options) -> int:
    """All fire; then, layer by layer, F d and what of it the spikes let through."""
    kept = c.batch * (sum(map(fired, c.layers)) + (4 if o["error"] == "local" else 2) * c.classes)
    moments = [forward(c), kept + readout(c) - 2 * c.batch * c.classes, update(c)]
    for layer in c.layers:
        p, h = layer.outputs, layer.neurons
        moments.append(kept + c.batch * max(2 * p, p + unpooling(layer), p + layer.own + h))
        moments.append(kept + c.batch * (p + h) + layer.scratch)
    return kernels(c) + max(moments)


def decolle(c: Case, o: Options) -> int:
    """The dropout's mask, drawn as three; G's error and the masked one; g."""

    def learn(layer: Layer) -> int:
        p, h = layer.outputs, layer.neurons
        mask = p if o["dropout"] else 0
        error = mask + p + max(p, unpooling(layer), layer.own + h) + 4 * c.classes
        return max(c.batch * error, c.batch * h + layer.scratch)

    return alone(c, learn)


def ell(c: Case, o: Options) -> int:
    """The classifier's error of the layer, and g."""

    def learn(layer: Layer) -> int:
        p, h, rows = layer.outputs, layer.neurons, 3 * c.classes
        error = rows + p + max(unpooling(layer), layer.own + h)
        return max(c.batch * error, c.batch * (rows + p + h) + layer.scratch)

    return alone(c, learn)


def tess(c: Case, o: Options) -> int:
    """The averaged spikes r and the wave's error, both of length d, the error δ, and δ ψ."""

    def learn(layer: Layer) -> int:
        h, d, rows = layer.neurons, layer.waves, 2 * c.classes
        r = d if layer.pixels > 1 or layer.pooled else 0
        projected = c.batch * (r + 2 * d + rows)
        grown = r + d + rows + (layer.outputs + unpooling(layer) if r else 0)
        delta = r + d + rows + (h if r else 0) + h
        made = c.classes * d if o["regenerate"] else 0
        return made + max(
            3 * c.classes * d - made if o["regenerate"] else 0,
            projected, c.batch * grown, c.batch * delta + layer.scratch,
        )  # fmt: skip

    return alone(c, learn)


def lls(c: Case, o: Options) -> int:
    """As TESS, with r̂ and w, and two more while the error is made."""

    def learn(layer: Layer) -> int:
        h, d, rows = layer.neurons, layer.waves, 2 * c.classes + 2
        r = d if layer.pixels > 1 or layer.pooled else 0
        projected = r + 4 * d + rows
        grown = r + 3 * d + rows + (layer.outputs + unpooling(layer) if r else 0)
        delta = r + 3 * d + rows + (h if r else 0) + h
        made = c.classes * d if o["regenerate"] else 0
        return made + max(
            3 * c.classes * d - made if o["regenerate"] else 0,
            c.batch * max(projected, grown), c.batch * delta + layer.scratch,
        )  # fmt: skip

    return alone(c, learn)


def espp(c: Case, o: Options) -> int:
    """The echo of each sample, and the gate's products with it; both traces side by side."""

    def learn(layer: Layer) -> int:
        h, few = c.batch * layer.neurons, 4 * c.batch
        if o["form"] == "step":
            return max(3 * h + few, 2 * h + layer.scratch + few)
        beside = c.batch * (layer.inputs + layer.neurons) if layer.recurrent else 0
        return max(3 * h, 2 * h + beside) + few

    if o["form"] == "step":
        return alone(c, learn)
    deferred = sum(layer.weights + layer.recurrent for layer in c.layers)  # gradients to come
    return max(alone(c, learn) - deferred, 5 * c.batch)


def saved_a_step(c: Case) -> int:
    """What autograd saves: x; v, s, pooled spikes and the places of maxima; log-softmax."""
    each = sum(2 * layer.neurons + layer.pooled + layer.indices for layer in c.layers)
    return c.batch * (c.layers[0].inputs + each + c.classes) + 1


def bptt(c: Case, o: Options) -> int:
    """Run backwards: an error for each membrane (and spike that is heard again); two gradients of a
    matrix while they are added, or the surrogate's terms."""
    heard, again = 2 if c.layers[0].recurrent else 1, 0
    if o["truncate"] and c.steps > o["truncate"]:  # a step's own; gradients of the cuts before
        again = c.weights + saved_a_step(c)
    errors = c.batch * (heard * sum(layer.neurons for layer in c.layers) + c.classes)
    return again + errors + max(
        max(2 * max(layer.weights, layer.recurrent), 3 * c.batch * layer.neurons)
        for layer in c.layers
    )


def tp(c: Case, o: Options) -> int:
    """Rows are B samples and C classes. A layer's v, u′ and s′; the errors of the layer below,
    until they are replaced; δ and g; and the distances of the class rows."""
    classes = c.classes if o["contrast"] == "class" else c.present
    rows, square = c.batch + classes, c.batch * classes
    most, below, stale = [update(c)], 0, (0, 0, 0)
    for i, layer in enumerate(c.layers):
        h, p = layer.neurons, layer.outputs
        learning = rows if i or o["train_label"] else c.batch
        here = rows * (3 * h + layer.pooled + below)
        v, delta, g = stale
        most += [
            v + delta + g + rows * (3 * h + below),
            here + delta + g + rows * layer.indices,
            here + g + learning * p * (2 if learning == rows else 1),
            here + g + learning * (p + unpooling(layer)),
            here + learning * (p + layer.own + h),
            here + learning * (p + h) + layer.scratch,
            here + learning * (p + h) + classes * p + layer.pixels * classes**2,
        ]
        stale, below = (rows * h, learning * p, learning * h), layer.pooled
    return kernels(c) + (c.classes * c.layers[0].neurons if c.standardised else 0) + 4 * square + classes**2 + max(most)


RULES: dict[str, Callable[[Case, Options], int]] = {
    "ottt": ottt, "stllr": stllr, "esdrtrl": esdrtrl, "readout-only": readout_only,
    "eprop": eprop, "etlp": etlp, "ostl": ostl, "osttp": osttp, "stsf": stsf, "decolle": decolle,
    "ell": ell, "tess": tess, "lls": lls, "espp": espp, "tp": tp, "bptt": bptt,
}
