"""Operations, memory traffic and energy of a sample: to infer, and to learn from it; by count.

A synaptic operation is an addition that a spike drives; a multiply-accumulate (MAC) takes two real
numbers. For each time step and sample, with the share r of inputs that spike:

    forward      r W (r R for the layer's own spikes) synaptic operations; a MAC for each decay
    gradient     r W synaptic operations where a spike stands beside the error, W MACs for a trace
    errors       W MACs for each matrix through which an error goes back
    contrast     TP: a target row costs C/B of a sample's; A, E Y, Eᵀ Z and D

Energy: Horowitz, ISSCC 2014, fig. 1.1.9 (45 nm, 0.9 V): float32 addition 0.9 pJ, multiplication
3.7 pJ; eight bytes from a memory of 8 KiB 10 pJ, of 32 KiB 20 pJ, of 1 MiB 100 pJ; from DRAM 1.3 to
2.6 nJ, of which the smaller is taken. An estimate: control, clocks and leakage are left out, and
every operand comes from the one memory that holds all that training takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synaptrace.compare.rule_variants import Contender
from synaptrace.cost import count, sizes
from synaptrace.cost.sizes import Case, Layer
from synaptrace.cost.workload import Workload
from synaptrace.errors import UserError
from synaptrace.text_table import shown

ADD, MULTIPLY = 0.9e-12, 3.7e-12
"""Joule of a float32 operation."""
MEMORIES = ((8 * 2**10, 10e-12), (32 * 2**10, 20e-12), (2**20, 100e-12), (None, 1.3e-9))
"""Size of a memory (None: DRAM), and Joule for eight bytes of it."""
Options = Mapping[str, Any]
NUMBER = 4
"""Bytes of a number, float32."""
TRACED = ("ottt", "stllr", "tess", "espp", "esdrtrl", "etlp", "decolle")
"""A trace of the input stands beside the error."""
TRANSPORT = ("bptt", "ottt", "stllr", "esdrtrl", "ostl", "eprop")
"""Errors go back through the weights, unless options say otherwise."""
KNOWN = {*TRACED, *TRANSPORT, "tp", "lls", "ell", "stsf", "osttp", "readout-only"}
"""Rules whose operations are counted."""


@dataclass(frozen=True)
class Cost:
    """Of one sample, all its steps."""

    macs: float
    """Multiply-accumulates."""
    synaptic: float
    """Additions driven by spikes."""
    traffic: float
    """Bytes read and written."""

    def energy(self, held: float) -> float:
        """Joule, in the smallest memory that has ``held`` bytes."""
        eight = next(joule for size, joule in MEMORIES if size is None or held <= size)
        return self.macs * (ADD + MULTIPLY) + self.synaptic * ADD + self.traffic / 8 * eight


def share(rate: float) -> float:
    """A share of neurons. Raises UserError where it is none."""
    if not 0 <= rate <= 1:
        raise UserError(f"--cost: {rate} is not a share from 0 to 1")
    return rate


def fan(layer: Layer) -> int:
    """Additions of a layer if every input spikes: W; a kernel at every place, borders too."""
    return layer.neurons * layer.fan_in


def hidden(c: Case, rate: float) -> float:
    """Synaptic operations of the hidden layers in one step."""
    return rate * sum(fan(layer) + layer.recurrent for layer in c.layers)


def inference(c: Case, rate: float) -> Cost:
    """One sample of T steps; ``rate``: the share of inputs and neurons that spike in a step."""
    synaptic = hidden(c, rate) + rate * c.readout
    neurons = sum(layer.neurons for layer in c.layers) + c.classes
    return Cost(c.steps * neurons, c.steps * synaptic, c.steps * 4 * (synaptic + 2 * neurons))


def products(name: str, o: Options, c: Case, rate: float) -> tuple[float, float]:
    """Synaptic operations and MACs of a step's matrix products, forward and for the gradient."""
    forward, matrices = hidden(c, rate), hidden(c, 1.0)
    heads = c.classes * sum(layer.outputs for layer in c.layers)
    synaptic, macs = forward + rate * c.readout, 0.0
    if name == "bptt":
        synaptic += rate * c.readout + forward
        macs += sum(layer.recurrent for layer in c.layers)
    else:
        macs += c.readout
    synapses = name in ("ostl", "osttp") or (name == "eprop" and o["kappa"])
    if name in TRACED or name == "eprop" or synapses or o.get("eligibility"):
        macs += matrices
    elif name in ("tp", "lls", "ell", "stsf"):
        synaptic += forward
    if o.get("a_post"):
        synaptic += forward
    direct = o.get("feedback") not in (None, "symmetric") and name != "ostl"
    if direct or name in ("etlp", "osttp"):
        macs += heads
    elif name in TRANSPORT:
        macs += c.readout + sum(fan(layer) for layer in c.layers[1:])
    if name in ("decolle", "tess", "ell"):  # a classifier forward, and its error
        synaptic, macs = synaptic + rate * heads, macs + heads
    if name == "lls":
        macs += 2 * heads
    if name == "ell" or (name == "stsf" and o["error"] == "local"):
        synaptic += rate * heads * (1 if name == "ell" else 2)
    if name == "tp":
        more = contrast(c, o, rate)
        synaptic, macs = synaptic + more[0], macs + more[1]
    return synaptic, macs


def rows(c: Case, o: Options) -> int:
    """TP's target rows."""
    return {"batch": c.present, "class": c.classes, "sample": c.batch}[o["contrast"]]


def contrast(c: Case, o: Options, rate: float) -> tuple[float, float]:
    """TP's target rows and contrasts, for a sample: synaptic operations, MACs."""
    classes, synaptic, macs = rows(c, o), 0.0, 0.0
    share = classes / c.batch
    for i, layer in enumerate(c.layers):
        own = rate * layer.recurrent
        if i:  # forward and gradient
            synaptic += share * (rate * fan(layer) + own)
            if o.get("eligibility"):
                macs += share * (fan(layer) + layer.recurrent)
            else:
                synaptic += share * (rate * fan(layer) + own)
        else:
            synaptic += share * own
        macs += (3 if i or o["train_label"] else 2) * classes * layer.outputs  # A, E Y, Eᵀ Z
    return synaptic, macs


def learning(name: str, o: Options, c: Case, rate: float, kept: Mapping[str, int]) -> Cost:
    """One sample of T steps, forward and gradients; of the update at the sequence's end (Adam, ten
    operations and seven numbers a weight) a sample's share. ``kept``: `count.count`.

    Raises:
        UserError: a rule whose operations nobody has counted.
    """
    if name not in KNOWN:
        raise UserError(f"--cost: nobody has counted the operations of the rule {name!r}")
    synaptic, macs = products(name, o, c, rate)
    states = (kept["neuron state"] + kept["traces"]) / NUMBER / c.batch
    reads = synaptic + macs  # a weight, a gradient or a trace for each
    if name == "tp":  # a column of S for each row; D of the rows
        share, classes = rows(c, o) / c.batch, rows(c, o)
        synaptic += share * c.layers[0].neurons
        outputs = sum(layer.outputs for layer in c.layers[:-1])
        macs += share * min(c.batch, classes) * outputs
    macs += states  # decays
    update = kept["gradients"] / NUMBER
    macs += 10 * update / c.batch / c.steps
    numbers = reads + 2 * states + 2 * kept["saved"] / NUMBER / c.batch / c.steps
    traffic = 4 * (numbers + 7 * update / c.batch / c.steps)
    return Cost(c.steps * macs, c.steps * synaptic, c.steps * traffic)


def costs(
    where: Workload, contenders: Sequence[Contender], rate: float
) -> dict[str, dict[str, float]]:
    """Inference first, then what each rule takes to learn from a sample; bytes and Joule."""
    case = sizes.case(count.bare(where.spec), where.batch, where.steps)
    alone = NUMBER * (case.weights + 2 * sum(layer.neurons for layer in case.layers))
    found = {"inference": (inference(case, rate), float(alone))}
    for one in contenders:
        kept = count.count(where.spec, one, where.batch, where.steps)
        cost = learning(one.name, one.options, case, rate, kept)
        found[one.label] = cost, float(sum(kept.values()))
    return {
        name: vars(cost) | {"energy": cost.energy(held)} for name, (cost, held) in found.items()
    }


def terminal(found: dict[str, dict[str, float]]) -> str:
    """In thousands, KiB and µJ."""
    units = {"macs": 1e3, "synaptic": 1e3, "traffic": 1024, "energy": 1e-6}
    rows = [["", "kMAC", "k synaptic operations", "traffic KiB", "µJ"]]
    for name, cost in found.items():
        rows.append([name, *(f"{cost[key] / unit:.1f}" for key, unit in units.items())])
    return shown(rows)
