"""The sample stream alone in the native engine: logits, and spikes to count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synaptrace.engine import library
from synaptrace.engine.describe import contiguous, describe, unfit
from synaptrace.engine.library import address

if TYPE_CHECKING:
    from synaptrace.network import Network


@torch.no_grad()
def forward(
    net: Network, events: Tensor, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor] | None:
    """What `Network.forward` returns, and the spikes that `training.evaluate` counts.

    Args:
        events: (T, B, *in_shape).
        lengths: (B,) in steps.

    Returns:
        logits (B, classes) at each sample's end, and the spikes of each hidden layer up to there
        (layers,) int64; None where the engine can't be used.

    Raises:
        UserError: a shape that doesn't fit.
    """
    if not events.shape[:2].numel() or unfit(net, events) is not None:
        return None
    net.fit(events[0])
    events = contiguous(net, events)
    kernels = [layer.kernel() for layer in [*net.layers, net.readout]]
    job = describe(net, kernels, events, learn=False)
    if lengths is not None:
        lengths = lengths.to("cpu", torch.int64).contiguous()
        job.lengths = address(lengths)
    logits = kernels[-1].new_empty(events.shape[1], net.classes)
    spikes = torch.zeros(len(net.layers), dtype=torch.int64)
    job.logits, job.spikes = address(logits), address(spikes)
    library.run(job, None, fresh=True)
    return logits, spikes
