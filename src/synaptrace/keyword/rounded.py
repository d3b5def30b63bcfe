"""Fine-tuning for whole numbers: the network runs with the weights that will be exported.

The forward pass, and what a rule makes of it, sees every weight as the nearest multiple of its
grid's step within 8 or 16 bits; the optimizer changes the weights as they are, as if rounding were
the identity (the straight-through estimator). Grids are those that `synaptrace export` would choose
at the beginning (`ship.c.fixed`), with room for weights to double. In the end the rounded weights
are what the run keeps: they lie on a grid, so an export in that precision changes none of them.

Source: Bengio, Léonard, Courville, arXiv 1308.3432 (2013); Jacob et al., CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from synaptrace.data.dataset import ArrayDataset
from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.ship.c import fixed, plan, stored

ROOM = 2.0


class Grid(NamedTuple):
    """Of one weight: whole numbers up to ``most`` times ``step``."""

    weight: Tensor
    step: float
    most: int

    @torch.no_grad()
    def round(self) -> None:
        """Move the weight to its nearest place, in place."""
        places = (self.weight.double() / self.step).round().clamp(-self.most, self.most)
        self.weight.copy_(places * self.step)


def grids(net: Network, data: ArrayDataset, precision: str) -> list[Grid]:
    """The grids of all weights, for inputs like those of the training set of ``data``.

    Raises:
        UserError: a network that has no form in whole numbers.
    """
    if net.spec["standardise"]:
        raise UserError("--precision: standardised weights (model.standardise) lie on no grid")
    made = plan.plan(net, precision=precision)
    whole = fixed.fix(net, made, fixed.calibrate(data), data.frames.shape[1], ROOM)
    most, found, pool = 2 ** (stored.BITS[precision] - 1) - 1, [], 1.0
    for layer, own in zip(net.layers, whole.layers, strict=True):
        found.append(Grid(layer.weight, pool / 2.0**own.scale, most))
        if layer.recurrent is not None:
            found.append(Grid(layer.recurrent, 2.0**-own.own_scale, most))
        pool = fixed.size_of_pool(layer)
    found.append(Grid(net.readout.weight, pool / 2.0**whole.readout.scale, most))
    return found


class Rounded:
    """Weights on their grids, but while the optimizer steps, or `exact` has them as they are."""

    def __init__(self, grids: Sequence[Grid], optimizer: Optimizer) -> None:
        self.grids = grids
        self.weights: list[Tensor] = []
        optimizer.register_step_pre_hook(lambda *_: self._lift())
        optimizer.register_step_post_hook(lambda *_: self._round())
        self._round()

    def _round(self) -> None:
        self.weights = [grid.weight.detach().clone() for grid in self.grids]
        for grid in self.grids:
            grid.round()

    @torch.no_grad()
    def _lift(self) -> None:
        for grid, weight in zip(self.grids, self.weights, strict=True):
            grid.weight.copy_(weight)

    @contextmanager
    def exact(self) -> Iterator[None]:
        """The weights as they learn, and rounded again after."""
        self._lift()
        yield
        self._round()
