"""The table of memory: each rule's bytes by purpose, counted and measured.

Rules run on PyTorch, TP too (``engine="torch"``). Compiled, a convolution of TP also keeps its
weights in parts, six bytes each, where there is a matrix unit, and for its work at most 16 MiB and
a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from synaptrace import network
from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.seeds import generator
from synaptrace.study import count, sizes
from synaptrace.study.contenders import Contender, contender
from synaptrace.study.memory import PURPOSES, Measured, measure

Spec = dict[str, Any]
"""A network's description (`Network.spec`)."""


@dataclass(frozen=True)
class Line:
    """One rule's memory, in bytes."""

    rule: str
    order: str
    """Growth of what is kept beyond the weights, for each layer."""
    counted: dict[str, int]
    measured: dict[str, int] | None
    unexplained: int = 0

    @property
    def difference(self) -> float | None:
        """Of the counted total from the measured, as a share of it."""
        if self.measured is None:
            return None
        return sum(self.counted.values()) / sum(self.measured.values()) - 1

    def about(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "difference": self.difference}


def make(spec: Spec, one: Contender) -> tuple[Network, Rule]:
    """The network and the rule, from a fixed seed."""
    draws = generator(0, "memory")
    net = network.build(spec, generator=draws)
    return net, one.build(net, draws)


def defined(spec: Spec, label: str) -> Contender | str:
    """The contender, or why its rule isn't defined on such a network."""
    one = contender(label, spec["readout_decay"])
    try:
        one.build(sizes.bare(spec))
    except UserError as error:
        if "use a dense network" not in str(error):
            raise
        return f"{label}: {error}"
    return one


def line(spec: Spec, one: Contender, batch: int, steps: int, measured: bool = True) -> Line:
    """Count, and measure, one rule's training on batches of ``batch`` sequences of ``steps``."""
    case = sizes.case(sizes.bare(spec), batch, steps)
    found: Measured | None = None
    if measured:
        found = measure(lambda: make(spec, one), batch, steps)
    return Line(
        one.label,
        count.RULES[one.name](case, one.options).order,
        count.count(one.name, one.options, case),
        found.purposes if found else None,
        found.unexplained if found else 0,
    )


def terminal(lines: Sequence[Line]) -> str:
    """Tab-separated KiB, two lines a rule: counted, and measured below with the difference."""
    head = ["rule", "KiB", *PURPOSES, "total", "difference %", "growth of what is kept, a layer"]
    rows = [head]
    for each in lines:
        rows.append([each.rule, "counted", *_kib(each.counted), "", each.order])
        if each.measured is not None and each.difference is not None:
            off = f"{100 * each.difference:+.2f}"
            rows.append([each.rule, "measured", *_kib(each.measured), off, ""])
    return "\n".join("\t".join(row) for row in rows)


def _kib(purposes: dict[str, int]) -> list[str]:
    values = [purposes[purpose] for purpose in PURPOSES]
    return [f"{value / 1024:.1f}" for value in [*values, sum(values)]]
