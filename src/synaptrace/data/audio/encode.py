"""Spikes from slowly changing signals: level crossing, and a leaky integrate-and-fire filter bank.

Both take frames (T, …, channels) and go from the past to the future, so a stream can be encoded
piece by piece: what one call returns as its state, the next takes.

    level crossing   n = trunc((x^t − m) / θ),  m ← m + n θ
    filter bank      v ← β v + max(x^t, 0),  n = ⌊v / θ⌋,  v ← v − n θ

Level crossing remembers the level m of its last event, the signal's first value at the start, and
sends |n| events, ON where n is positive and OFF where it is negative. In the filter bank each
band of the signal drives one neuron, and what lies below zero drives none.

Sources: Lichtsteiner, Posch, Delbruck, IEEE J. Solid-State Circuits 43(2):566 (2008), level
crossing; Liu, van Schaik, Minch, Delbruck, IEEE Trans. Biomed. Circuits Syst. 8(4):453 (2014), a
cochlea whose filters drive integrate-and-fire neurons.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAK = 0.8
"""β of the filter bank's neurons, per frame."""


def delta(x: Tensor, threshold: float, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Level crossings of x (T, …, C): counts (T, …, 2C), all channels' ON then OFF, and the state.

    Args:
        threshold: θ, the change that makes an event, in x's units.
        state: the levels (…, C) of the last events; None at the start of a signal.
    """
    level = x[0] if state is None else state
    counts = []
    for now in x:
        n = ((now - level) / threshold).trunc()
        level = level + n * threshold
        counts.append(torch.cat([n.clamp(min=0), (-n).clamp(min=0)], -1))
    return torch.stack(counts), level


def lif(x: Tensor, threshold: float, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Spike counts (T, …, C) of neurons that x (T, …, C) drives, and the state.

    Args:
        threshold: θ, in x's units.
        state: the membranes (…, C); None at the start of a signal.
    """
    membrane = torch.zeros_like(x[0]) if state is None else state
    counts = []
    for now in x.clamp(min=0):
        membrane = LEAK * membrane + now
        n = (membrane / threshold).floor()
        membrane = membrane - n * threshold
        counts.append(n)
    return torch.stack(counts), membrane
