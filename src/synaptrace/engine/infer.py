"""The sample stream alone in the native engine: logits, and spikes to count."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from synaptrace.engine.describe import contiguous, describe, unfit
from synaptrace.native import library
from synaptrace.native.library import address

if TYPE_CHECKING:
    from synaptrace.network import Network


class Result(NamedTuple):
    """What a network did with a batch."""

    logits: Tensor
    """(B, classes) at each sample's end."""
    spikes: Tensor
    """(layers,) int64: spikes of each hidden layer, summed over samples up to their ends."""
    ends: Tensor
    """(B,) int64: the steps that a sample ran."""


@torch.no_grad()
def forward(
    net: Network, events: Tensor, lengths: Tensor | None = None, confidence: float = 0.0
) -> Result | None:
    """Run the sample stream; None where the engine can't be used.

    Args:
        events: (T, B, *in_shape).
        lengths: (B,) in steps.
        confidence: a sample ends as soon as a class is so probable, 0: it runs to its end.

    Raises:
        UserError: a shape that doesn't fit.
    """
    if not events.shape[:2].numel() or unfit(net, events) is not None:
        return None
    net.fit(events[0])
    events = contiguous(net, events)
    kernels = [layer.kernel() for layer in [*net.layers, net.readout]]
    job = describe(net, kernels, events, learn=False)
    job.confidence, dtype, whole = confidence, kernels[-1].dtype, torch.int64
    if lengths is not None:
        lengths = lengths.to("cpu", whole).contiguous()
        job.lengths = address(lengths, whole)
    logits = kernels[-1].new_empty(events.shape[1], net.classes)
    spikes = torch.zeros(len(net.layers), dtype=whole)
    ends = torch.empty(events.shape[1], dtype=whole)
    job.logits, job.spikes, job.ends = (
        address(logits, dtype), address(spikes, whole), address(ends, whole)
    )  # fmt: skip
    library.run(job, None, fresh=True)
    return Result(logits, spikes, ends)
