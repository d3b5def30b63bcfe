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


def trace_distance(traces: Tensor, asked: Tensor, size: int | None = None) -> Tensor:
    """D of traces (C, pixels, channels), from the rows ``asked`` to all: Euclidean over channels,
    mean over pixels.

    Rows come in blocks of as many as there are channels, so that no block is larger than the
    traces themselves; columns in blocks of ``size``, or all at once.
    """
    out = traces.new_empty(len(asked), len(traces))
    columns = traces.transpose(0, 1)
    if traces.dtype in (torch.float16, torch.bfloat16):  # which `cdist` doesn't know
        columns = columns.float()
    size = size or len(traces)
    for first in range(0, len(asked), traces.shape[2]):
        rows = slice(first, first + traces.shape[2])
        near = columns[:, asked[rows]].add_(SHIFT)
        for start in range(0, len(traces), size):
            far = slice(start, start + size)
            each = torch.cdist(near, columns[:, far], compute_mode=EXACT)
            if each.dtype == out.dtype:
                torch.mean(each, 0, out=out[rows, far])
            else:
                out[rows, far] = each.mean(0)
    return out
