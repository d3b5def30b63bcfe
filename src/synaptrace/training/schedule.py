"""When the optimizer steps, and how far: update schedules, learning rate, averaged weights."""

from __future__ import annotations

import math

import torch
from torch import nn

from synaptrace.errors import UserError


def every(update: str | int) -> int | None:
    """Steps between optimizer steps; None: one at the end of each sequence.

    Raises:
        UserError: ``update`` is neither "sequence", "step" nor a positive whole number.
    """
    if update == "sequence":
        return None
    if update == "step":
        return 1
    if isinstance(update, int) and not isinstance(update, bool) and update > 0:
        return update
    raise UserError(f"train.update: {update!r} is neither 'sequence', 'step' nor a number of steps")


def cosine(epoch: int, epochs: int, first: float, final: float) -> float:
    """Learning rate of an epoch, annealed by a cosine from ``first`` towards ``final``.

        η_e = η_final + (η_first − η_final) (1 + cos(π e / E)) / 2,   e = 0 … E−1

    as in Loshchilov and Hutter, arXiv 1608.03983, without restarts.
    """
    return final + (first - final) * (1 + math.cos(math.pi * epoch / epochs)) / 2


@torch.no_grad()
def average(averaged: nn.Module, net: nn.Module, decay: float, updates: int) -> None:
    """Move ``averaged`` towards ``net``: w̄ ← d w̄ + (1 − d) w, d = min(decay, (1 + n)/(10 + n)).

    The factor grows with the number n of ``updates`` before this one, so that the initial weights
    are soon forgotten however short the training.
    """
    decay = min(decay, (1 + updates) / (10 + updates))
    for mean, weight in zip(averaged.parameters(), net.parameters(), strict=True):
        mean.lerp_(weight, 1 - decay)
