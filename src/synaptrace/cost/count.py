"""What each rule takes in memory, by count: exact formulas, beside their order of growth.

B samples, T steps, and for each hidden layer I inputs, H neurons, P outputs (pooled); O classes, C
of them present in the batch. All sums run over layers. The work space is in `work`.

Of all rules BPTT alone grows with T. Where a trace's steps wait (`rules.synapse`: e-prop with a
filter, OSTL, OSTTP), it is up to 32 of them, min(T, 32)·B·(3H + I), whatever T is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from synaptrace.cost import work
from synaptrace.cost.sizes import Case
from synaptrace.cost.work import Options
from synaptrace.cost.work_parts import kernels as held
from synaptrace.errors import UserError

NUMBER = 4
"""Bytes of a number, float32. Indices have twice as many."""


@dataclass(frozen=True)
class Kept:
    """Numbers that live from step to step, beyond the network's weights."""

    order: str
    """How they grow, for each layer, with B, T, I, H, O and C."""
    state: int
    """Membranes and spikes."""
    traces: int = 0
    auxiliary: int = 0
    """Matrices of the rule's own."""
    trained: int = 0
    """Those of them that have gradients and moments."""
    matrices: int = 0
    """How many of them."""
    saved: int = 0
    """What autograd saves."""
    records: int = 0
    """Labels, losses, rates, and what describes the batch."""


def stream(c: Case, order: str = "B·H") -> Kept:
    """u and s of each layer and m and z of the readout, which every rule but TP and BPTT has."""
    return Kept(
        order,
        state=c.batch * (2 * neurons(c) + c.classes),
        traces=c.batch * c.layers[-1].outputs,
        records=2 * c.batch + 2 * len(c.layers) + 1,
    )


def neurons(c: Case) -> int:
    """ΣH."""
    return sum(layer.neurons for layer in c.layers)


def outputs(c: Case) -> int:
    """ΣP."""
    return sum(layer.outputs for layer in c.layers)


def heard(c: Case) -> int:
    """ΣH of the recurrent layers."""
    return sum(layer.neurons for layer in c.layers if layer.recurrent)


def input_traces(c: Case) -> int:
    """q, and q_R where a layer is recurrent: B (I + H)."""
    return c.batch * (sum(layer.inputs for layer in c.layers) + heard(c))


def synapses(c: Case) -> int:
    """A trace for each synapse and sample: B (H I + H²)."""
    return c.batch * sum(layer.weights + layer.recurrent for layer in c.layers)


def more(kept: Kept, **numbers: int) -> Kept:
    """The same with ``numbers`` added to its fields."""
    return replace(kept, **{key: getattr(kept, key) + n for key, n in numbers.items()})


# The rules.


def tp(c: Case, o: Options) -> Kept:
    """u, s and z of a row for each sample and each class; S, and its recurrence."""
    rows_of = {"batch": (c.present, "(B + min(B, O))·H"), "class": (c.classes, "(B + O)·H"),
               "sample": (c.batch, "2·B·H + B²")}  # fmt: skip
    classes, order = rows_of[o["contrast"]]
    rows, first = c.batch + classes, c.layers[0]
    label = c.classes * first.neurons
    return Kept(
        order,
        state=2 * rows * neurons(c) + c.batch * c.classes,
        traces=rows * outputs(c),
        auxiliary=label + first.recurrent,
        trained=label if o["train_label"] else 0,
        matrices=1 if o["train_label"] else 0,
        records=(4 if o["contrast"] == "batch" else 2) * c.batch
        + 2 * len(c.layers)
        + 1
        + 3 * classes,
    )


def bptt(c: Case, o: Options) -> Kept:
    """x, v, s and log-softmax of every step, maxima with their places; once, what standardisation
    saves. The last s is state, too, and counted there."""
    cut = o["truncate"] is not None and c.steps >= o["truncate"]
    steps = o["truncate"] - 1 if cut else c.steps
    kernels = standardising(c) if c.standardised else held(c)
    saved = steps * work.saved_a_step(c) + kernels + c.batch * (heard(c) - neurons(c))
    last = c.layers[-1]
    if last.pixels > 1 and not last.pooled:
        saved += c.batch * last.neurons  # of maps the readout saves a copy, channels first
    return Kept(
        "T·B·(I + 2H)",
        state=c.batch * (2 * neurons(c) + c.classes),
        saved=saved,
        records=2 * c.batch + 2 * len(c.layers) + 2,
    )


def standardising(c: Case) -> int:
    """Centred weights, and two numbers a row; the kernels, but that of a dense first layer, whose
    input needs no error."""
    first = c.layers[0]
    matrices = c.readout + sum(layer.weights for layer in c.layers)
    rows = c.classes + sum(layer.channels for layer in c.layers)
    dense = first.weights == first.inputs * first.neurons
    return 2 * matrices + 2 * rows - (first.weights if dense else 0)


def readout_only(c: Case, o: Options) -> Kept:
    return stream(c)


def ottt(c: Case, o: Options) -> Kept:
    return more(stream(c, "B·(I + H)"), traces=input_traces(c))


def stllr(c: Case, o: Options) -> Kept:
    """q, and h of each neuron where there is an anti-causal term; F under "dfa"."""
    return more(
        stream(c, "B·(I + H)" + (" + O·H" if o["feedback"] == "dfa" else "")),
        traces=input_traces(c) + (c.batch * neurons(c) if o["a_post"] else 0),
        auxiliary=c.classes * outputs(c) if o["feedback"] == "dfa" else 0,
    )


def tess(c: Case, o: Options) -> Kept:
    """As S-TLLR, and the waves unless they are computed."""
    waves = 0 if o["regenerate"] else c.classes * sum(layer.waves for layer in c.layers)
    return more(
        stream(c, "B·(I + H)" + ("" if o["regenerate"] else " + O·H")),
        traces=input_traces(c) + (c.batch * neurons(c) if o["a_post"] else 0),
        auxiliary=waves,
    )


def lls(c: Case, o: Options) -> Kept:
    waves = 0 if o["regenerate"] else c.classes * sum(layer.waves for layer in c.layers)
    return more(stream(c, "B·H" + ("" if o["regenerate"] else " + O·H")), auxiliary=waves)


def espp(c: Case, o: Options) -> Kept:
    """q, the counts and the echo; a trace for each synapse in the form that waits."""
    waits = o["form"] == "sequence"
    return more(
        stream(c, "B·H·I" if waits else "B·(I + H)"),
        traces=input_traces(c) + 2 * c.batch * neurons(c) + (synapses(c) if waits else 0),
        records=5 * c.batch + (c.batch * len(c.layers) if waits else 0),
    )


def esdrtrl(c: Case, o: Options) -> Kept:
    return more(stream(c, "B·(I + H)"), traces=input_traces(c) + c.batch * neurons(c))


def ell(c: Case, o: Options) -> Kept:
    """A trained classifier and its membranes, each layer."""
    weights = c.classes * outputs(c)
    return more(
        stream(c, "B·H + O·H"), state=c.batch * c.classes * len(c.layers),
        auxiliary=weights, trained=weights, matrices=len(c.layers),
    )  # fmt: skip


def stsf(c: Case, o: Options) -> Kept:
    """An entry and a class (of eight bytes) for each neuron; classifiers as in ELL, if local."""
    entries = 3 * outputs(c)
    return more(ell(c, o) if o["error"] == "local" else stream(c), auxiliary=entries)


def eprop(c: Case, o: Options) -> Kept:
    """q alone for κ = 0; else a trace for each synapse. F, and its traces if it is trained."""
    synaptic = synapses(c) + work.room(c) if o["kappa"] else 0
    order = "B·H·I" if o["kappa"] else "B·(I + H)"
    feedback = 0 if o["feedback"] == "symmetric" else c.classes * outputs(c)
    trained = o["feedback"] == "adaptive"
    return more(
        stream(c, order + (" + O·H" if feedback else "")),
        traces=input_traces(c) + synaptic + (c.batch * outputs(c) if trained else 0),
        auxiliary=feedback, trained=feedback if trained else 0,
        matrices=len(c.layers) if trained else 0,
    )  # fmt: skip


def etlp(c: Case, o: Options) -> Kept:
    return more(
        stream(c, "B·(I + H) + O·H"), traces=input_traces(c),
        auxiliary=c.classes * outputs(c), records=2,
    )  # fmt: skip


def decolle(c: Case, o: Options) -> Kept:
    return more(
        stream(c, "B·(I + H) + O·H"), traces=input_traces(c),
        auxiliary=c.classes * (outputs(c) + len(c.layers)), records=2,
    )  # fmt: skip


def ostl(c: Case, o: Options) -> Kept:
    """D, and a trace for each synapse; for each synapse and neuron where complete, with ψ; again as
    much for κ; the random matrices in place of the weights above."""
    complete = o["complete"] and heard(c)
    trace = synapses(c)
    if complete:
        trace = c.batch * sum(x.neurons * (x.weights + x.recurrent) for x in c.layers)
    above = sum(layer.weights for layer in c.layers[1:]) + c.readout
    waits = 0 if complete or o["kappa"] else work.room(c)
    carried = c.batch * neurons(c) * (2 if complete else 1)
    return more(
        stream(c, "B·H²·(I + H)" if complete else "B·H·I"),
        traces=trace * (2 if o["kappa"] else 1) + carried + waits,
        auxiliary=above if o["feedback"] == "random" else 0,
    )


def osttp(c: Case, o: Options) -> Kept:
    return more(
        stream(c, "B·H·I + O·H"), traces=synapses(c) + work.room(c) + c.batch * neurons(c),
        auxiliary=c.classes * outputs(c),
    )  # fmt: skip


RULES: dict[str, Callable[[Case, Options], Kept]] = {
    "tp": tp, "bptt": bptt, "readout-only": readout_only, "ottt": ottt, "stllr": stllr,
    "tess": tess, "lls": lls, "espp": espp, "esdrtrl": esdrtrl, "ell": ell, "stsf": stsf,
    "eprop": eprop, "etlp": etlp, "decolle": decolle, "ostl": ostl, "osttp": osttp,
}  # fmt: skip


def keeps(name: str, o: Options, c: Case) -> Kept:
    """What the rule ``name`` keeps. Raises UserError where nobody has counted it yet."""
    if name not in RULES or name not in work.RULES:
        raise UserError(
            f"memory: the rule {name!r} has no count; give it one in cost/count.py and cost/work.py"
        )
    return RULES[name](c, o)


def count(name: str, o: Options, c: Case) -> dict[str, int]:
    """Bytes by purpose (`memory.PURPOSES`) of a training with Adam, updated once a sequence.

    ``o``: all options of the rule ``name``; κ a number.
    """
    kept = keeps(name, o, c)
    only = name == "readout-only"
    trained = kept.trained + (c.readout if only else c.weights)
    tensors = kept.matrices + 1
    if not only:
        tensors += sum(1 + bool(layer.recurrent) for layer in c.layers)
    numbers = {
        "parameters": c.weights,
        "gradients": trained,
        "optimizer": 2 * trained + tensors,
        "auxiliary": kept.auxiliary,
        "neuron state": kept.state,
        "traces": kept.traces,
        "saved": kept.saved,
        "records": kept.records,
        "input": 0 if name == "bptt" else c.batch * c.layers[0].inputs,
        "work space": work.RULES[name](c, o),
    }
    return {purpose: NUMBER * n for purpose, n in numbers.items()}
