"""Seeded changes to training events; validation and test never see them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def shift(events: Tensor, generator: torch.Generator, pixels: int) -> Tensor:
    """Move each sample as a whole by up to ``pixels`` rows and columns, either way.

    Args:
        events: (T, B, channels, rows, columns).
        generator: draws one whole number for each sample and direction, all equally likely.

    Returns:
        The same shape and dtype; what leaves the map is lost, and nothing comes in.
    """
    rows, columns = events.shape[-2:]
    padded = F.pad(events, (pixels, pixels, pixels, pixels))
    corners = torch.randint(2 * pixels + 1, (events.shape[1], 2), generator=generator)
    moved = [
        padded[:, sample, :, row : row + rows, column : column + columns]
        for sample, (row, column) in enumerate(corners.tolist())
    ]
    return torch.stack(moved, 1)
