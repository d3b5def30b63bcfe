"""What Traces Propagation contrasts with: distances between traces, and a cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor

SHIFT = 1e-9
"""Added to differences before squaring, as the published code does."""
EXACT = "donot_use_mm_for_euclid_dist"
"""How `torch.cdist` sums the squares themselves."""


def cross_entropy(target: Tensor, log_probability: Tensor, alive: Tensor | float) -> Tensor:
    """−Σ target log probability, rows weighted by ``alive``; a class of no sample adds nothing."""
    each = target * log_probability.nan_to_num(0.0, 0.0, 0.0) * alive
    return -each.sum()


def trace_distance(traces: Tensor, asked: Tensor) -> Tensor:
    """D of traces (C, pixels, channels), from the rows ``asked`` to all: Euclidean over channels,
    mean over pixels.

    Rows come in blocks of as many as there are channels, so that no block is larger than the
    traces themselves.
    """
    columns = traces.transpose(0, 1)
    blocks: tuple[Tensor, ...] = torch.split(asked, traces.shape[2])
    rows = [
        torch.cdist(columns[:, each].add_(SHIFT), columns, compute_mode=EXACT).mean(0)
        for each in blocks
    ]
    return torch.cat(rows)
