"""Bytes of the C programs that a network can become, from its shape: for `synaptrace memory`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from synaptrace import build as networks
from synaptrace.cost import axes, budget
from synaptrace.cost.workload import Workload
from synaptrace.errors import UserError
from synaptrace.rules.tp import TracesPropagation
from synaptrace.ship.c import count
from synaptrace.ship.c.plan import PRECISIONS, plan
from synaptrace.text_table import shown

PROGRAMS: dict[str, tuple[str, str | None, bool]] = {
    **{precision: (precision, None, True) for precision in PRECISIONS},
    **{
        f"{what}, {name}": ("float32", learn, adam)
        for learn, what in (("readout", "the readout learns"), ("all", "all learn"))
        for name, adam in (("SGD", False), ("Adam", True))
    },
    "the readout learns, int16": ("int16", "readout", False),
    "all learn, int16": ("int16", "all", False),
}
"""Each one's precision, what learns, and whether by Adam."""


def bytes_of(spec: dict[str, Any], name: str) -> dict[str, int]:
    """`count.count` of a program of the network ``spec``. Raises UserError where there is none."""
    precision, learn, adam = PROGRAMS[name]
    with torch.device("meta"):
        net = networks.build(spec)
        rule = None if learn is None else TracesPropagation(net, contrast="class")
    return count.count(replace(plan(net, rule, learn, precision), adam=adam))


def defined(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, int]]]:
    """The programs that there are, and their bytes. Raises UserError where there is none at all."""
    yield "float32", bytes_of(spec, "float32")
    for name in list(PROGRAMS)[1:]:
        try:
            yield name, bytes_of(spec, name)
        except UserError:
            continue


def table(where: Workload) -> list[dict[str, Any]]:
    """For each program its bytes, by where they lie."""
    return [
        {"program": name, **found, "flash": count.flash(found), "RAM": count.ram(found)}
        for name, found in defined(where.spec)
    ]


def fit(where: Workload, size: int) -> list[dict[str, Any]]:
    """For each program the largest hidden layer, each of that size, with which flash and RAM
    together are within ``size``; 0: none.

    Raises:
        UserError: a network of maps.
    """

    def whole(name: str, hidden: int) -> float:
        return sum(bytes_of(axes.workload_at(where, "width", hidden).spec, name).values())

    if where.spec["kind"] != "mlp":
        raise UserError("--budget: with --to c it is for dense networks (model.kind mlp)")
    rows = []
    for name, _ in defined(where.spec):
        hidden = budget.largest(partial(whole, name), 1, size)
        found = bytes_of(axes.workload_at(where, "width", max(hidden, 1)).spec, name)
        parts = {"flash": count.flash(found), "RAM": count.ram(found)}
        rows.append({"program": name, "hidden": hidden} | (parts if hidden else {}))
    return rows


def terminal(rows: list[dict[str, Any]]) -> str:
    """In bytes, a header line first."""
    return shown([list(rows[0]), *([str(value) for value in row.values()] for row in rows)])
