"""What fits into a memory for training on a device: the largest batch, the largest hidden layer.

Everything counts: weights, gradients, moments, all that the rule keeps, input and work space.
16-bit halves every number and index; whether learning stands it is another question.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

from synaptrace.compare.rule_variants import Contender
from synaptrace.cost import count
from synaptrace.cost.axes import first, workload_at
from synaptrace.cost.workload import Workload
from synaptrace.errors import UserError
from synaptrace.text_table import shown

UNITS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
UNITS |= {"KB": 10**3, "kB": 10**3, "MB": 10**6, "GB": 10**9}
FORMS = {"Adam, 32 bit": (True, 1.0), "SGD, 32 bit": (False, 1.0), "SGD, 16 bit": (False, 0.5)}
"""Whether there are moments, and the size of a number in float32's."""
MOST = 2**20


@dataclass(frozen=True)
class Fit:
    """What fits for one rule, by `FORMS`; 0 where nothing does."""

    rule: str
    batch: dict[str, int]
    """The largest batch of the network as it is."""
    hidden: dict[str, int]
    """The largest hidden layer, each of that size, at the smallest batch; empty for a map."""


def parse(text: str) -> int:
    """Bytes of "64KiB". Raises UserError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text)
    if match is None or match[2] not in UNITS:
        raise UserError(f"--budget: {text!r} should be a size such as 64KiB, 2MiB or 512KB")
    return int(float(match[1]) * UNITS[match[2]])


def bytes_of(counted: Mapping[str, int], form: str) -> float:
    """Bytes of a training in one of `FORMS`, from those by purpose (`count.count`)."""
    moments, size = FORMS[form]
    return size * (sum(counted.values()) - (0 if moments else counted["optimizer"]))


def fit(where: Workload, one: Contender, budget: int) -> Fit:
    """The largest batch and hidden layer for ``one`` within ``budget`` bytes."""
    least = 2 if one.options.get("contrast") in ("batch", "sample") else 1
    smallest = workload_at(where, "batch", least)

    @cache
    def counted(axis: str, value: int) -> dict[str, int]:
        at = workload_at(where if axis == "batch" else smallest, axis, value)
        return count.count(at.spec, one, at.batch, at.steps)

    def size(axis: str, form: str, value: int) -> float:
        return bytes_of(counted(axis, value), form)

    def most(axis: str, least: int) -> dict[str, int]:
        return {form: largest(partial(size, axis, form), least, budget) for form in FORMS}

    return Fit(
        one.label, most("batch", least), most("width", 1) if where.spec["kind"] == "mlp" else {}
    )


def largest(size: Callable[[int], float], least: int, budget: int) -> int:
    """The largest number from ``least`` to `MOST` whose size is within the budget; 0: none."""
    if size(least) > budget:
        return 0
    low, high = least, 2 * least
    while size(high) <= budget:
        if high >= MOST:
            return MOST
        growth = (size(high) - size(low)) / (high - low)
        reached = high + int((budget - size(high)) / growth) + 1
        low, high = high, min(max(2 * high, reached), MOST)
    return first(lambda n: size(n) - budget - 0.25, low, high) - 1  # sizes are whole or half bytes


def text(largest: int) -> str:
    """A cell of the table."""
    return "-" if not largest else f"≥{MOST}" if largest >= MOST else str(largest)


def terminal(fits: Sequence[Fit]) -> str:
    """A dash where nothing fits, ≥ where no larger one was tried."""
    head = ["rule", *(f"batch: {form}" for form in FORMS)]
    if fits and fits[0].hidden:
        head += [f"hidden: {form}" for form in FORMS]
    rows = [head]
    for each in fits:
        values = [*each.batch.values(), *each.hidden.values()]
        rows.append([each.rule, *map(text, values)])
    return shown(rows)
