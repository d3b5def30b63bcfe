"""The work space of training: the most numbers alive at once beyond those kept between steps.

A function for each rule follows its step in `rules` and takes the largest of its moments; all count
numbers of four bytes. H neurons, P outputs (pooled), B samples, O classes of `sizes.Case`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from synaptrace.cost.sizes import Case, Layer
from synaptrace.cost.work_parts import fired, firing, kernels, readout, unpooling, update
from synaptrace.cost.work_tp import traces_propagation
from synaptrace.rules import synapse
from synaptrace.rules.waves import BLOCK

Options = Mapping[str, Any]
Learn = Callable[[Layer], int]


# How steps are built from them.


def forward(c: Case) -> int:
    """All layers fire from the bottom up; what each leaves is kept for later."""
    below = [sum(map(fired, c.layers[:i])) for i in range(len(c.layers))]
    return c.batch * max(b + firing(layer) for b, layer in zip(below, c.layers, strict=True))


def together(
    c: Case, learn: Learn, up: bool = False, rows: int = 2, last: int | None = None
) -> int:
    """All layers fire first, then learn one by one from the errors δ and g = δ ψ.

    ``learn``: what a layer makes for its gradient beyond them. Errors come from the top down or,
    direct ones, from the bottom ``up``; a layer's stay until the next one's are there. ``rows``:
    rows of classes beside them, of logits and errors. ``last``: what the update takes, by
    default `update`.
    """
    left = c.batch * sum(map(fired, c.layers))
    kept = left + c.batch * rows * c.classes
    moments, before = [forward(c), left + readout(c), update(c) if last is None else last], 0
    for layer in c.layers if up else reversed(c.layers):
        both = 2 * layer.neurons
        coming = max(layer.outputs + unpooling(layer), both)
        moments.append(kept + c.batch * (before + coming))
        moments.append(kept + c.batch * both + learn(layer))
        before = both
    return kernels(c) + max(moments)


def alone(c: Case, learn: Learn, last: int | None = None) -> int:
    """Each layer fires and learns before the next one fires; ``learn`` counts all it makes.

    ``last``: what the update takes, by default `update`.
    """
    moments, below = [readout(c), update(c) if last is None else last], 0
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
    """Without gradients of other layers, the making of standardised copies is a moment, too."""
    own = c.batch * sum(map(fired, c.layers)) + readout(c)
    last = 2 * c.readout if c.standardised else 0
    return max(kernels(c) + max(forward(c), own, last), refresh(c, c.readout))


def refresh(c: Case, gradients: int) -> int:
    """Standardised copies are made one by one, each from two of its size, before there are
    an input and ``gradients``."""
    if not c.standardised:
        return 0
    sizes = [*(layer.weights for layer in c.layers), c.readout]
    most = max(sum(sizes[:i]) + 2 * size for i, size in enumerate(sizes))
    return most - gradients - c.batch * c.layers[0].inputs


def eprop(c: Case, o: Options) -> int:
    """κ = 0 is as OTTT; otherwise steps of a trace for each synapse wait."""
    up = o["feedback"] != "symmetric"
    if not o["kappa"]:
        return together(c, lambda layer: layer.scratch, up)
    return waiting(c, lambda layer: 0, up, rows=2)


def room(c: Case) -> int:
    """What the steps that wait in `rules.synapse` are kept in: d, a, g and x of min(T, BLOCK)."""
    each = sum(4 * x.neurons + x.inputs - (0 if x.recurrent else x.neurons) for x in c.layers)
    return min(c.steps, synapse.BLOCK) * c.batch * each


def waiting(c: Case, own: Learn, up: bool, rows: int) -> int:
    """`together` for a trace whose steps wait; ``own``: what a layer makes beyond x while they do.

    Those of a short sequence are taken at its end, when nothing but the gradients of the layers
    before is there; until then these aren't either. In a longer one the first are taken amid a
    step, before the layers that follow have gradients, and later ones when all have. (That is too
    much for BLOCK + 1 steps, where there is no step but the last with gradients.)
    """
    missing, sizes = {}, 0
    for layer in reversed(c.layers) if up else c.layers:
        missing[id(layer)], sizes = sizes, sizes + layer.weights + layer.recurrent

    def first(layer: Layer) -> int:
        return max(c.batch * layer.neurons, layer.scratch) - missing[id(layer)]

    def later(layer: Layer) -> int:
        return c.batch * layer.neurons + layer.scratch

    def learn(layer: Layer) -> int:
        beside = c.batch * (layer.inputs + layer.neurons) if layer.recurrent else 0
        took = [0, first(layer), later(layer)][min((c.steps - 1) // synapse.BLOCK, 2)]
        return beside + max(own(layer), took)

    short = c.steps <= synapse.BLOCK
    steps = together(c, learn, up, rows, last=update(c) - room(c))
    at_end = kernels(c) + max(map(first if short else later, c.layers))
    return max(steps - (sizes if short else 0), at_end, kernels(c) + update(c) - room(c))


def etlp(c: Case, o: Options) -> int:
    return together(c, lambda layer: layer.scratch, up=True, rows=3)


def ostl(c: Case, o: Options) -> int:
    """Complete: the Jacobian, and the moved trace of a layer beside the old one."""

    def learn(layer: Layer) -> int:
        if o["complete"] and layer.recurrent:
            k = layer.inputs + layer.neurons
            return c.batch * (layer.recurrent * (k + 1) + k)
        return moved(c, layer)

    if not o["kappa"] and not (o["complete"] and c.layers[0].recurrent):
        return waiting(c, lambda layer: carried(c, layer), up=False, rows=2)
    return together(c, learn)


def carried(c: Case, layer: Layer) -> int:
    """The terms of D."""
    return c.batch * (3 if c.hard else 2) * layer.neurons


def moved(c: Case, layer: Layer) -> int:
    """A trace for each synapse: inputs side by side, the terms of D; a standardised gradient."""
    beside = layer.inputs + layer.neurons if layer.recurrent else 0
    return max(layer.scratch, c.batch * beside + carried(c, layer))


def osttp(c: Case, o: Options) -> int:
    return waiting(c, lambda layer: carried(c, layer), up=True, rows=3)


def stsf(c: Case, o: Options) -> int:
    """All fire; then, layer by layer, F d and what of it the spikes let through."""
    left, local = c.batch * sum(map(fired, c.layers)), o["error"] == "local"
    kept = left + (4 if local else 2) * c.batch * c.classes
    moments = [forward(c), left + readout(c), update(c)]
    if local:
        moments.append(left + 9 * c.batch * c.classes)
    for layer in c.layers:
        p, h = layer.outputs, layer.neurons
        moments.append(kept + c.batch * max(2 * p, p + unpooling(layer), p + layer.own + h))
        moments.append(kept + c.batch * (p + h) + layer.scratch)
    return kernels(c) + max(moments)


def decolle(c: Case, o: Options) -> int:
    """The dropout's mask, drawn as three; G's error and the masked one; g."""

    def learn(layer: Layer) -> int:
        p, h, rows = layer.outputs, layer.neurons, c.classes
        mask = p if o["dropout"] else 0
        error = mask + max(5 * rows, 4 * rows + p + max(p, unpooling(layer), layer.own + h))
        return max(c.batch * error, c.batch * h + layer.scratch)

    return alone(c, learn)


def ell(c: Case, o: Options) -> int:
    """The classifier's error of the layer, and g."""

    def learn(layer: Layer) -> int:
        p, h, rows = layer.outputs, layer.neurons, 3 * c.classes
        error = rows + max(rows, p + max(unpooling(layer), layer.own + h))
        return max(c.batch * error, c.batch * (rows + p + h) + layer.scratch)

    return alone(c, learn)


def tess(c: Case, o: Options) -> int:
    """The averaged spikes r and the wave's error, both of length d; δ, and δ ψ."""
    return waves(c, o, rows=0, before=1, most=1, own=1)


def lls(c: Case, o: Options) -> int:
    """As TESS, with ‖r‖ and its inverse, r̂ and w, and two more while the error is made."""
    return waves(c, o, rows=2, before=2, most=4, own=3)


def waves(c: Case, o: Options, rows: int, before: int, most: int, own: int) -> int:
    """Vectors of length d ``before`` the error is made, at ``most``, and afterwards (``own``);
    some waves in float64 and float32 where they are computed; numbers a sample (``rows``)."""

    def learn(layer: Layer) -> int:
        h, d, o_ = layer.neurons, layer.waves, c.classes
        r = rows + (d if layer.pooled or layer.pixels > 1 else 0)
        spread = h if layer.pooled or layer.pixels > 1 else 0
        behind = layer.outputs + unpooling(layer) if spread else 0
        made = 3 * min(BLOCK, o_) * d + 2 * (d + o_) if o["regenerate"] else 0
        made += d * BLOCK if o["regenerate"] and o_ > BLOCK else 0
        return max(
            c.batch * (r + before * d + 3 * o_) + made,
            c.batch * (r + most * d + 3 * o_),
            c.batch * (r + own * d + 3 * o_ + behind),
            c.batch * (r + own * d + 3 * o_ + spread + h) + layer.scratch,
            c.batch * (r + own * d + 5 * o_ + spread),
        )

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
    missing = [layer.weights + layer.recurrent for layer in c.layers]  # gradients to come
    made = [layer.weights for layer in c.layers]
    if c.standardised:
        made = [3 * (layer.weights + layer.neurons) + 2 * c.batch for layer in c.layers]
    finish = max(n - sum(missing[i:]) for i, n in enumerate(made))
    steps = alone(c, learn, last=2 * c.readout if c.standardised else 0) - sum(missing)
    return max(steps, finish, refresh(c, sum(missing) + c.readout), 5 * c.batch)


def saved_a_step(c: Case) -> int:
    """What autograd saves: x; v, s (1 − s under a hard reset), p(s) and the places of maxima; the
    log-softmax."""
    own = 3 if c.hard else 2
    each = sum(own * layer.neurons + layer.pooled + layer.indices for layer in c.layers)
    return c.batch * (c.layers[0].inputs + each + c.classes) + 1


def bptt(c: Case, o: Options) -> int:
    """Run backwards: an error for each membrane (and spike that is heard again); two gradients of a
    matrix while they are added, or the surrogate's terms; or the chain rule of standardised
    weights. Where it is cut, the gradients of the cut before are there, and a step's own values."""
    heard = 2 if c.layers[0].recurrent else 1
    sizes = [*(layer.weights for layer in c.layers), c.readout]
    cut, again = o["truncate"] is not None and c.steps >= o["truncate"], 0
    if cut and c.steps > o["truncate"]:
        again = 1
    errors = c.batch * (heard * sum(layer.neurons for layer in c.layers) + c.classes)
    backwards = errors + max(
        *(2 * size for size in sizes), *(2 * layer.recurrent for layer in c.layers),
        *(3 * c.batch * layer.neurons for layer in c.layers),
    )  # fmt: skip
    chain = max(3 * size + again * sum(sizes[: i + 1]) for i, size in enumerate(sizes))
    moments = [backwards + again * c.weights, chain if c.standardised else 0]
    return max(moments) + (saved_a_step(c) if cut else 0)


RULES: dict[str, Callable[[Case, Options], int]] = {
    "ottt": ottt,
    "stllr": stllr,
    "esdrtrl": esdrtrl,
    "readout-only": readout_only,
    "eprop": eprop,
    "etlp": etlp,
    "ostl": ostl,
    "osttp": osttp,
    "stsf": stsf,
    "decolle": decolle,
    "ell": ell,
    "tess": tess,
    "lls": lls,
    "espp": espp,
    "tp": traces_propagation,
    "bptt": bptt,
}
