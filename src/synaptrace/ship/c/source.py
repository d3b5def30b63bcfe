"""The text of model.h and model.c."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from string import Template
from typing import Any

from numpy.typing import NDArray

from synaptrace.layers import Layer as NetworkLayer
from synaptrace.names import printed
from synaptrace.network import Network
from synaptrace.rules.tp import TracesPropagation
from synaptrace.ship.c import tables
from synaptrace.ship.c.numbers import LayerNumbers, Numbers
from synaptrace.ship.c.plan import Plan
from synaptrace.ship.c.tables import number
from synaptrace.surrogate import SURROGATES

POOLS = {"none": "NONE", "max": "MAX", "avg": "AVERAGE", "aavg": "ADAPTIVE"}
FOLDER = files("synaptrace.ship.c") / "templates"


def text(name: str) -> str:
    """A template without names to fill in."""
    return (FOLDER / name).read_text(encoding="utf-8")


def fill(name: str, values: Mapping[str, Any]) -> str:
    """A template with its $names filled in."""
    return Template(text(name)).substitute(values)


def header(plan: Plan, has: Numbers, about: Mapping[str, Any], parts: Sequence[str] = ()) -> str:
    """model.h. ``about``: name, source, version and steps; ``parts``: of what else there is."""
    said = {key: remark(str(value)) for key, value in about.items()}
    values = {
        **said, "inputs": plan.inputs, "classes": plan.classes, "layers": len(plan.layers),
        "neurons": plan.neurons, "outputs": plan.outputs, "pooled": plan.pooled,
        "maps": int(any(layer.channels for layer in plan.layers)),
        "place": "uint16_t" if plan.place == 2 else "uint32_t",
        "readout_decay": has.readout_decay, "readout_gain": has.readout_gain,
        "fixed": int(has.fixed), "types": has.types.rstrip(), "parts": "".join(parts),
    }  # fmt: skip
    return tidy(fill("model.h", values))


def tidy(text: str) -> str:
    """The comments of macros that follow each other, in one column."""
    lines = text.split("\n")
    for macros, group in groupby(range(len(lines)), lambda n: lines[n].startswith("#define ")):
        said = [n for n in group if macros and "/*" in lines[n]]
        width = max((len(lines[n].partition("/*")[0].rstrip()) for n in said), default=0)
        for n in said:
            what, mark, remark = lines[n].partition("/*")
            lines[n] = f"{what.rstrip():{width}} {mark}{remark}"
    return "\n".join(lines)


def learning(
    net: Network, rule: TracesPropagation, plan: Plan, whole: Mapping[str, Any] | None = None
) -> str:
    """The part of model.h on learning; ``whole``: what differs in whole numbers."""
    surrogate = net.layers[0].neuron.surrogate
    tau = rule.contrast.temperature
    values = {
        "targets": plan.targets, "target_neurons": max(plan.target_neurons, 1),
        "traces": plan.traces, "learned": plan.learned, "readout_at": plan.readout_at,
        "presynaptic": plan.presynaptic, "adam": int(plan.adam),
        "label_threshold": real(rule.label_threshold), "label_gain": "R(1)",
        "label_own_gain": "R(1)", "label_decay": real(net.layers[0].neuron.lam), "unit": "R(1)",
        "input_unit": "R(1)", "readout_trace_decay": real(net.layers[-1].neuron.lam),
        "scale": real(surrogate.scale),
        "surrogate": [kind is type(surrogate) for kind in SURROGATES.values()].index(True) + 1,
        "identity": tables.identity(tables.weights(net)),
        "constants": f"#define TEMPERATURE {real(0.0 if tau == 'auto' else tau)} "
        f"/* 0: it sets itself */\n#define MARGIN {real(rule.contrast.margin)}",
        **(whole or {}),
    }  # fmt: skip
    return fill("learning.h", values)


def constants(net: Network, plan: Plan, has: Numbers, name: str, classes: Sequence[str],
              more: Sequence[str] = ()) -> str:  # fmt: skip
    """model.c; ``more``: tables of what else there is."""
    made, rows = [], []
    for i, (layer, each) in enumerate(zip(net.layers, has.layers, strict=True)):
        size = each.weight.size
        made.append(tables.values(f"static const stored weight_{i}[{size}]", each.weight))
        own = each.recurrent
        if own is not None:
            made.append(tables.values(f"static const stored recurrent_{i}[{own.size}]", own))
        rows.append(row(plan, i, layer, each))
    made.append(tables.values("const stored readout_weight[OUTPUTS * CLASSES]", has.readout))
    names = ['"' + quoted(each) + '"' for each in classes]
    made.append(tables.table("const char *const class_names[CLASSES]", names))
    made += more
    return fill(
        "model.c", {"name": remark(name), "tables": "\n".join(made), "rows": "\n".join(rows)}
    )


def real(value: float) -> str:
    """A constant of C's type real."""
    return f"R({number(value)})"


def remark(text: str) -> str:
    """``text`` as one line within a C comment, which it can't end."""
    return printed(text).replace("*/", "* /").replace("/*", "/ *")


def quoted(text: str) -> str:
    """``text`` within a C string: what isn't plain ASCII as bytes of UTF-8, or as it is."""
    plain = set(range(32, 127)) - set(b'"\\?')
    return "".join(
        chr(b) if b in plain else f"\\{b:03o}" for b in text.encode("utf-8", "surrogateescape")
    )


def row(plan: Plan, i: int, layer: NetworkLayer, has: LayerNumbers) -> str:
    """Layer i's line in `layers`."""
    made = plan.layers[i]
    own = f"recurrent_{i}" if made.recurrent else "0"
    return (
        f"    {{{made.inputs}, {made.neurons}, {made.outputs}, {made.first}, "
        f"{int(layer.neuron.reset == 'hard')}, {has.decay}, {has.threshold}, {has.gain}, "
        f"{has.own_gain},\n     weight_{i}, {own}, {made.channels}, {made.height}, {made.width}, "
        f"POOL_{POOLS[made.pool]}, {made.size}, {made.out_height}, {made.out_width}}},"
    )


def target_tables(net: Network, rule: TracesPropagation, plan: Plan) -> str:
    """The label's weights, and how each layer learns; nothing where only the readout does."""
    if not plan.targets:
        return ""
    label = rule.label
    weight = label.forward_weight().detach().float().t().contiguous().numpy()
    rows = []
    for layer, at in zip(net.layers, plan.places, strict=False):
        beta = layer.neuron.beta if rule.presynaptic.eligibility else 0.0
        places = [at.weight, at.recurrent, at.input_trace, at.recurrent_trace]
        rows.append([*map(str, places), real(beta), real(layer.neuron.lam)])
    return "\n".join([*label_tables(weight, tables.recurrent(label)), learnings(rows)])


def label_tables(weight: NDArray[Any], own: NDArray[Any] | None) -> list[str]:
    """The label's weights (classes, neurons), and those to itself."""
    made = [tables.values(f"const stored label_weight[{weight.size}]", weight)]
    if own is not None:
        made.append(tables.values(f"static const stored label_own[{own.size}]", own))
    pointer = "0" if own is None else "label_own"
    return [*made, f"const stored *const label_recurrent = {pointer};\n"]


def learnings(rows: Sequence[Sequence[str]]) -> str:
    """How each layer learns, a row each."""
    lines = [f"    {{{', '.join(row)}}}," for row in rows]
    return "\n".join(["const struct learning learnings[TARGETS] = {", *lines, "};\n"])
