"""The random number of a batch, of a rule whose steps draw."""

from __future__ import annotations

import torch
from torch import Tensor

from synaptrace.rules.base import Rule


class Seed:
    """The random number of a batch, from which a rule's steps draw: kept in the state, where a
    checkpoint finds it, and read once, so that no step waits for the device."""

    def __init__(self) -> None:
        self.read: tuple[Tensor | None, int] = None, 0

    def draw(self, rule: Rule) -> None:
        """A new one, from the generator of `start`."""
        rule.state["seed"] = [torch.randint(2**62, (1,), generator=rule.generator)]
        self.seed(rule)

    def seed(self, rule: Rule) -> int:
        """That of the present batch."""
        (kept,) = rule.state["seed"]
        if kept is not self.read[0]:
            self.read = kept, int(kept)
        return self.read[1]
