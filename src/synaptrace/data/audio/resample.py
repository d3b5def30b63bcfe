"""Sound of any rate and number of channels, as mono of another rate: whole, or as it comes.

Resampling is polyphase, with the low-pass filter that `scipy.signal.resample_poly` designs (a
Kaiser window, β = 5): it sees 10 periods of the lower rate to either side of a sample, so a piece
with as much around it gives what the whole recording does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

REACH = 10
"""Periods of the lower rate that the filter sees to either side."""


def convert(samples: Tensor, rate: int, to: int) -> Tensor:
    """Mix channels (N, C) down to their mean and resample it from ``rate`` to ``to`` Hz, (M,)."""
    return resample(samples.mean(1), rate, to)


def resample(mono: Tensor, rate: int, to: int) -> Tensor:
    """Samples (N,) of ``rate`` Hz at ``to`` Hz, (⌈N to / rate⌉,)."""
    if rate == to:
        return mono
    from scipy.signal import resample_poly

    common = math.gcd(rate, to)
    resampled = resample_poly(mono.numpy(), to // common, rate // common)
    return torch.from_numpy(np.ascontiguousarray(resampled, dtype=np.float32))


def stream(rows: Iterable[tuple[Tensor, int]], to: int) -> Iterator[Tensor]:
    """`convert` of a recording that comes in pieces (n, C) with its rate in Hz, to the bit.

    What is kept depends on the rates and on the largest piece, not on the recording's length.
    Pieces are cut where a sample of either rate falls on the other's, every `unit` samples.
    """
    held, lead, rate = torch.zeros(0), 0, to  # an empty recording gives no piece
    for samples, rate in rows:
        mono = samples.mean(1)
        if rate == to:
            yield mono
            continue
        held = torch.cat([held, mono])
        up, unit = (each // math.gcd(rate, to) for each in (to, rate))
        margin = math.ceil((REACH * max(up, unit) / up + 1) / unit) * unit
        sure = (len(held) - margin) // unit * unit  # the filter sees nothing beyond what is held
        if sure - lead >= margin:
            made = resample(held[: sure + margin], rate, to)
            yield made[lead * up // unit : sure * up // unit].clone()
            held, lead = held[sure - margin :].clone(), margin
    if len(held):
        yield resample(held, rate, to)[lead * to // rate :].clone()
