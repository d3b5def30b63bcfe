"""Memory against time, depth, width, classes and batch, by count; and where TP's curve is crossed.

Two quantities: what a rule takes beyond the network's own weights, gradients and Adam's moments,
work space included (``own``), and what of it lives between steps (``kept``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from synaptrace import text_table
from synaptrace.compare.rule_variants import Contender
from synaptrace.cost import count
from synaptrace.cost.workload import Workload
from synaptrace.drawing import COLOURS, LINES, figure, name_ends, panels, save
from synaptrace.errors import UserError

GRIDS = {
    "T": (2, 5, 10, 20, 50, 100, 200, 500, 1000),
    "depth": (1, 2, 3, 4, 6, 8, 12),
    "width": (16, 32, 64, 128, 256, 512, 1024, 2048, 4096),
    "classes": (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000),
    "batch": (2, 4, 8, 16, 32, 64, 128, 256, 512),
}
NAMES = {
    "T": "time steps T", "depth": "hidden layers", "width": "neurons of each hidden layer",
    "classes": "classes O", "batch": "samples in a batch B",
}  # fmt: skip
REFERENCE = "tp"
KEPT = ("auxiliary", "neuron state", "traces", "saved", "records")


@dataclass(frozen=True)
class Crossing:
    """The first value of the axis from which the other side is smaller."""

    rule: str
    quantity: str
    """"own" or "kept"."""
    at: int
    smaller: str
    """From there on: TP or the rule."""


def workload_at(where: Workload, axis: str, value: int) -> Workload:
    """``where`` with one size changed.

    Raises:
        UserError: depth or width of a convolutional network.
    """
    spec: dict[str, Any] = dict(where.spec)
    batch, steps = where.batch, where.steps
    if axis == "T":
        steps = value
    elif axis == "batch":
        batch = value
    elif axis == "classes":
        spec["classes"] = value
    elif spec["kind"] != "mlp":
        raise UserError(f"--sweep: {axis} is a dense network's; choose T, classes or batch")
    else:
        hidden = spec["hidden"]
        spec["hidden"] = hidden[:1] * value if axis == "depth" else [value] * len(hidden)
        for name in ("decay", "trace_decay"):  # of each layer: the first one's stands for all
            if isinstance(decay := spec["neuron"][name], list | tuple):
                spec["neuron"] = {**spec["neuron"], name: decay[0]}
    return Workload(spec, batch, steps)


def quantities(where: Workload, one: Contender) -> dict[str, int]:
    """Bytes of ``own`` and ``kept``."""
    counted = count.count(where.spec, one, where.batch, where.steps)
    kept = sum(counted[purpose] for purpose in KEPT)
    trained = counted["gradients"] + counted["optimizer"] - 3 * counted["parameters"]
    own = kept + counted["input"] + counted["work space"] + max(trained, 0)
    return {"own": own, "kept": kept}


def crossings(
    one: Contender, tp: Contender, grid: Sequence[int],
    at: Callable[[int, Contender], dict[str, int]],
) -> list[Crossing]:  # fmt: skip
    """Where ``one`` and TP change places, found within the grid's steps."""
    found = []
    for quantity in ("own", "kept"):

        def behind(value: int, quantity: str = quantity) -> int:
            return at(value, tp)[quantity] - at(value, one)[quantity]

        sides = [behind(value) < 0 for value in grid]
        for low, high, before, after in zip(grid, grid[1:], sides, sides[1:], strict=False):
            if before == after:
                continue
            high = first(behind if before else lambda v: -1 - behind(v), low, high)
            smaller = tp.label if after else one.label
            found.append(Crossing(one.label, quantity, high, smaller))
    return found


def first(size: Callable[[int], float], low: int, high: int) -> int:
    """The first number above ``low`` from which ``size`` isn't negative, as it is at ``low`` but
    not at ``high``: where the line between the two is at zero, and one beside it; or halfway, where
    that hasn't narrowed them."""
    while high - low > 1:
        below, above = size(low), size(high)
        guess = low + int((high - low) * below / (below - above))
        for value in (guess, guess + 1, (low + high) // 2):
            if low < value < high:
                low, high = (value, high) if size(value) < 0 else (low, value)
    return high


def sweep(
    where: Workload, axis: str, contenders: Sequence[Contender], tp: Contender
) -> tuple[dict[str, list[dict[str, int]]], list[Crossing]]:
    """Each rule's quantities along ``axis``'s grid, and every crossing with TP."""
    if axis not in GRIDS:
        raise UserError(f"--sweep: {axis!r} is none of {', '.join(GRIDS)}")

    grid, known = GRIDS[axis], dict[tuple[int, str], dict[str, int]]()

    def at(value: int, one: Contender) -> dict[str, int]:
        if (value, one.label) not in known:
            known[value, one.label] = quantities(workload_at(where, axis, value), one)
        return known[value, one.label]

    curves = {one.label: [at(value, one) for value in grid] for one in contenders}
    rivals = [one for one in contenders if one.label != tp.label]
    crossed = [each for one in rivals for each in crossings(one, tp, grid, at)]
    return curves, crossed


def as_csv(axis: str, curves: dict[str, list[dict[str, int]]]) -> str:
    """A line for each value and rule."""
    head = [axis, "rule", "bytes_beyond_weights_and_optimizer", "bytes_kept"]
    rows = [
        [value, rule, curve[index]["own"], curve[index]["kept"]]
        for index, value in enumerate(GRIDS[axis])
        for rule, curve in curves.items()
    ]
    return text_table.as_csv([head, *rows])


def crossings_csv(axis: str, crossed: Sequence[Crossing]) -> str:
    """A line for each crossing."""
    head = ["rule", "quantity", f"from_{axis}", "smaller"]
    return text_table.as_csv([head, *([c.rule, c.quantity, c.at, c.smaller] for c in crossed)])


def draw(
    axis: str, curves: dict[str, list[dict[str, int]]], crossed: Sequence[Crossing],
    path: Path, title: str,
) -> Path:  # fmt: skip
    """Both quantities against the axis, a row of panels every few rules, TP in each of them, blue;
    where another crosses it, there is a cross on its curve."""
    grid, named = GRIDS[axis], {"own": "beyond weights, gradients and moments",
                                "kept": "kept between steps"}  # fmt: skip
    others = {rule: curve for rule, curve in curves.items() if rule != REFERENCE}
    rows = panels(others, LINES - 1)  # TP stands in every one
    picture = figure(12, 4.2 * len(rows) + 0.4)
    axes = picture.subplots(len(rows), 2, sharex=True, sharey=True, squeeze=False)
    for row, some in zip(axes, rows, strict=True):
        told = {REFERENCE: curves[REFERENCE], **some} if REFERENCE in curves else some
        for panel, quantity in zip(row, named, strict=True):
            drawn = {rule: (grid, [p[quantity] / 1024 for p in c]) for rule, c in told.items()}
            for (rule, line), colour in zip(drawn.items(), COLOURS, strict=False):
                own = rule.startswith("tp")
                panel.plot(*line, linewidth=2.2 if own else 1.2, markersize=3, marker="o",
                           color=colour)  # fmt: skip
            panel.set(xscale="log", yscale="log", title=named[quantity])
            panel.grid(alpha=0.3)
    for row, some in zip(axes, rows, strict=True):  # now that all limits are known
        told = {REFERENCE: curves[REFERENCE], **some} if REFERENCE in curves else some
        for panel, quantity in zip(row, named, strict=True):
            name_ends(panel, {r: (grid, [p[quantity] / 1024 for p in c]) for r, c in told.items()})
            for each in crossed:
                if each.quantity == quantity and each.rule in told:
                    whole = [p[quantity] for p in curves[REFERENCE]]
                    panel.plot(each.at, interpolate(grid, whole, each.at) / 1024, "x",
                               color="black", markersize=9, markeredgewidth=2)  # fmt: skip
        row[0].set_ylabel("KiB, by count")
    for panel in axes[-1]:
        panel.set_xlabel(NAMES[axis])
    picture.suptitle(f"{title} (× : TP's curve is crossed)", fontsize=9)
    return save(picture, path)


def interpolate(grid: Sequence[int], values: Sequence[int], at: int) -> float:
    """The curve's height between two of the grid's values."""
    for i, (low, high) in enumerate(pairwise(grid)):
        if low <= at <= high:
            share = (at - low) / (high - low)
            return values[i] + share * (values[i + 1] - values[i])
    return float(values[-1])


def title(where: Workload, axis: str) -> str:
    """What stays the same along the axis."""
    spec = where.spec
    if spec["kind"] == "mlp":
        hidden = "→".join(map(str, spec["hidden"])) + (" recurrent" if spec["recurrent"] else "")
        network = f"{spec['inputs']}→{hidden}→{spec['classes']}"
    else:
        network = f"{spec['kind']} on {'×'.join(map(str, spec['in_shape']))}"
    return f"{network}, batch {where.batch}, T {where.steps}; along {NAMES[axis]}"
