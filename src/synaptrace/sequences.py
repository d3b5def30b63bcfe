"""Samples of a batch that end at different steps: where they say, or once the answer is clear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synaptrace import inference
from synaptrace.errors import UserError

if TYPE_CHECKING:
    from synaptrace.network import Network


def mask(x: Tensor, running: Tensor | None) -> Tensor:
    """x with zeros, whatever stood there, in the rows that have ended."""
    if running is None:
        return x
    return x.masked_fill(~running.view(-1, *[1] * (x.dim() - 1)), 0)


@torch.no_grad()
def decide(
    net: Network, events: Tensor, confidence: float, lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """`Network.decide`."""
    if not confidence > 0:
        raise UserError(f"confidence: {confidence} is not positive")
    fast = inference.forward(net, events, lengths, confidence)
    if fast is not None:
        return fast.logits.argmax(1), fast.ends
    steps, batch = events.shape[:2]
    ends = torch.full((batch,), steps, device=events.device)
    ends = ends if lengths is None else torch.minimum(ends, lengths.to(ends))
    state = net.initial_state(batch)
    final = state.logits
    for t, x in enumerate(events):
        running = t < ends
        if not running.any():
            break
        logits, state = net.step(mask(x, running), state)
        final = torch.where(running[:, None], logits, final)
        sure = running & (logits.softmax(1).amax(1) >= confidence)
        ends = torch.where(sure, t + 1, ends)
    return final.argmax(1), ends
