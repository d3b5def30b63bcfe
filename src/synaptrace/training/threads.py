"""The number of threads: sums are split among them, so another number gives other last bits."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch

from synaptrace.errors import UserError


def most() -> int:
    """Beyond this many, libraries crash rather than slow down."""
    return 16 * (os.cpu_count() or 1)


def check(count: int | None) -> None:
    """Raises UserError for a number of threads that can't be."""
    if count is not None and (isinstance(count, bool) or not 1 <= count <= most()):
        raise UserError(
            f"train.threads: {count} is not a number from 1 to {most()}; this machine has "
            f"{os.cpu_count()} cores"
        )


def restore(asked: int | None, stored: int | None, warn: Callable[[str], None]) -> None:
    """Set the number that a training began with; None: it isn't known, so nothing is set.

    It ``warn``s where that isn't the number ``asked`` for, and where it can't be had.
    """
    if stored is None:
        return
    if stored <= most():
        torch.set_num_threads(stored)
    if torch.get_num_threads() != stored:
        warn(
            f"the training began with {stored} threads and goes on with "
            f"{torch.get_num_threads()}, all that can be had here: its last bits may be others"
        )
    elif asked not in (None, stored):
        warn(f"train.threads: the training began with {stored} threads and goes on with them")
