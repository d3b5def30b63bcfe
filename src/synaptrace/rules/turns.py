"""Parts of a batch that take turns: each goes on to the next update, and then all update together.

Every part has a `Rule.twin`, which keeps its state meanwhile; what a step needs beside it, a part
needs in its turn alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from synaptrace.rules.base import Rule
from synaptrace.rules.checks import Whole


@dataclass(frozen=True)
class Part:
    """Samples of a batch."""

    events: Tensor
    """(T, n, *in_shape), T that of the whole batch."""
    labels: Tensor
    lengths: Tensor | None


def sequence(
    rule: Rule, parts: Sequence[Part], *, optimizer: torch.optim.Optimizer, every: int,
    generator: torch.Generator, batch: Whole,
) -> list[tuple[Rule, Tensor]]:  # fmt: skip
    """`Rule.sequence` of a batch in parts, updated from all of them ``every`` so many steps.

    Returns:
        the rule of each part, with its `losses` and `rates`, and its logits (n, classes).

    Raises:
        UserError: as `Rule.sequence`.
    """
    twins = [rule.twin() for _ in parts]
    steps = len(parts[0].events)
    for twin, part in zip(twins, parts, strict=True):
        draws = generator.clone_state()  # as each has where it goes through all steps at once
        twin.start(part.labels, steps=steps, lengths=part.lengths, generator=draws, batch=batch)
    for first in range(0, steps, every):
        if first:
            twins[-1]._update(optimizer)
        for twin, part in zip(twins, parts, strict=True):
            with twin._exact(), twin._holding():
                for x in part.events[first : first + every]:
                    twin.step(x)
    logits = [twin.finish() for twin in twins]
    twins[-1]._update(optimizer)
    return list(zip(twins, logits, strict=True))
