"""The label projection S, which drives the target stream."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from synaptrace.layers import Dense, initial


class Label(Dense):
    """The label projection S: a one-hot class as input, a current onto layer 1's map.

    It is a dense layer whose input is given by class index, so that no one-hot row is made.
    """

    def current(
        self, classes: Tensor, spikes: Tensor, weight: Tensor, *, packed: object = None
    ) -> Tensor:
        """Current (rows, *shape) of the rows' classes (rows,)."""
        current = weight.t()[classes].to(self.weight.dtype)
        if self.recurrent is not None:
            current = current.addmm(spikes, self.recurrent.t())
        return current.view(-1, *self.shape)

    def add_column(self, gain: float, generator: torch.Generator | None) -> None:
        """One more class, its projection drawn as those of the first ones were."""
        old = self.weight.detach()
        drawn = initial(tuple(old.shape), self.standardise, gain, generator).detach()
        more = torch.cat([old, drawn[:, :1].to(old)], 1)
        if isinstance(self.weight, nn.Parameter):
            self.weight = nn.Parameter(more, requires_grad=self.weight.requires_grad)
        else:
            self.weight = more

    def accumulate(
        self, g: Tensor, classes: Tensor, spikes: Tensor, *, fused: bool = False
    ) -> None:
        """Add ∂S to ``.grad``, a column for each row of g (rows, *shape); never its recurrence."""
        if not self.weight.requires_grad:
            return
        columns = g.flatten(1).t().to(self.weight.dtype)
        if self.weight.grad is None or self.standardise:
            self.add_gradient(torch.zeros_like(self.weight).index_add_(1, classes, columns))
        else:  # these columns alone
            self.weight.grad.index_add_(1, classes, columns)
