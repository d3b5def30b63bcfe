"""How a step, or a sequence, of Traces Propagation runs: the only place where that is decided.

    plain     `step.step`: all rows at once
    blocks    `blocks.step`: the rows in blocks, where there are more classes than a block
    native    `native.sequence`: a whole sequence of a dense network, compiled

All give the same up to rounding. In a convolutional network the first two take a layer's work from
`operations.Native` where it can be used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING

from torch import Tensor
from torch.optim import Optimizer

from synaptrace.engine import train
from synaptrace.engine.describe import overridden
from synaptrace.errors import UserError
from synaptrace.native import maps
from synaptrace.rules.tp import blocks
from synaptrace.rules.tp import step as plain

if TYPE_CHECKING:
    from synaptrace.rules.tp.rule import TracesPropagation

BLOCK = blocks.BLOCK
Kept = train.Memory


def step(
    rule: TracesPropagation,
) -> Callable[[TracesPropagation, Tensor, Tensor | None], Tensor]:
    """How the rule's next step is done."""
    return blocks.step if len(rule.targets) > rule.block else plain.step


def maps_natively(rule: TracesPropagation) -> bool:
    """Whether the work on maps is the native engine's."""
    return rule.engine != "torch" and maps.obstacle(rule.net) is None


INERT = (
    "tensors", "state_dict", "load_state_dict", "spec", "losses", "rates", "add_class",
    "_add_class",
)  # fmt: skip
"""Methods of a rule that have no part in a sequence, which a subclass may have of its own."""
MIRRORED = ("kind", "temperature", "margin")
"""Settings of `Contrast` that the native engine has; of the others it has the defaults."""


def whole(
    rule: TracesPropagation, events: Tensor, optimizer: Optimizer | None, every: int | None
) -> bool:
    """Do a whole sequence natively; False where that can't be, and nothing was done.

    Raises:
        UserError: the rule's engine is "native", and can't be used.
    """
    if rule.engine == "torch":
        return False
    rule._fit(events[0])
    reason = variant(rule) or train.obstacle(rule, events, optimizer, every)
    if reason is not None:
        if rule.engine == "native" and maps.obstacle(rule.net) is not None:
            raise UserError(f"rule.engine: the native one can't be used: {reason}")
        return False
    lengths = rule.state["lengths"][0] if rule.state["lengths"] else None
    train.sequence(rule, events, lengths, optimizer, every, rule.kept)
    rule.time = len(events)
    return True


def variant(rule: TracesPropagation) -> str | None:
    """What the rule has that the native engine hasn't; None where there is nothing."""
    from synaptrace.rules.tp.rule import TracesPropagation

    changed = overridden(rule, TracesPropagation, *INERT)
    if changed:
        return f"it doesn't know a {changed} of your own"
    for each in fields(rule.contrast):
        if each.name not in MIRRORED and getattr(rule.contrast, each.name) != each.default:
            return f"it knows no {each.name}"
    return None
