"""A gradient that spikes decide: gᵀ x, where few of x aren't zeros."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from synaptrace.native.library import address, lies, loaded
from synaptrace.native.structures import Outer


def add(grad: Tensor, g: Tensor, x: Tensor) -> bool:
    """Add gᵀ x to ``grad`` (outputs, inputs): g (rows, outputs), x (rows, inputs).

    Returns:
        whether it was done: not where one doesn't lie as the engine reads it, nor where more than a
        quarter of x isn't zero, so that a product of matrices is quicker.
    """
    dtype = grad.dtype
    if dtype not in (torch.float32, torch.float64) or not all(lies(t, dtype) for t in (grad, g, x)):
        return False
    library, level = loaded()
    job = Outer(
        is_double=dtype == torch.float64, rows=len(x), outputs=g.shape[1], inputs=x.shape[1],
        g=address(g, dtype), x=address(x, dtype), grad=address(grad, dtype), level=level,
    )  # fmt: skip
    work = torch.empty(library.synaptrace_outer_bytes(ctypes.byref(job)) + 64, dtype=torch.uint8)
    start = (address(work, torch.uint8) + 63) // 64 * 64
    return bool(library.synaptrace_outer(ctypes.byref(job), start))
