"""Handwriting brought to one place, slant and size, by the moments of its events.

With ⟨·⟩ the mean over a recording's events, at row y and column x:

    y ← y − ⟨y⟩,  x ← x − ⟨x⟩          its middle to that of the sensor
    x ← x − y ⟨xy⟩ / ⟨y²⟩              upright: rows and columns don't correlate
    y ← y h / √⟨y²⟩                    one height
    x ← x √(w / √⟨x²⟩)                 half-way to one width: a 1 stays narrower than a 0

It needs the whole recording, so it can't run on a stream. To take slant out by moments is an old
way with digits: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
recognition", Proc. IEEE 86 (1998), do so for several of their classifiers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from synaptrace.data.frames import Events

Array = NDArray[Any]

HEIGHT, WIDTH = 0.18, 0.135
"""h and w, parts of the sensor's rows and columns: about what N-MNIST's digits have as recorded."""

LEAST = 0.02
"""Parts of the sensor that √⟨y²⟩ and √⟨x²⟩ count as at least: less is hardly more than a dot."""

PLACES = 0.7548776662466927, 0.5698402909980532
"""1/ρ and 1/ρ² with ρ³ = ρ + 1: their multiples, modulo 1, fill a square evenly."""


def align(events: Events, sensor: tuple[int, int], batch: int) -> Events:
    """Each of ``batch`` recordings at one place, slant and size, as above.

    Within its pixel an event lies where its number in its recording puts it, so that no lines of
    empty pixels arise, and a recording looks the same in every batch.

    Args:
        events: those of a sample behind those of the one before it.
        sensor: its rows and columns; what leaves it lies beyond it.
    """
    rows, columns = sensor
    assert events.y is not None
    sample, count = events.sample, np.bincount(events.sample, minlength=batch)

    def mean(values: Array) -> Array:
        return (np.bincount(sample, values, batch) / np.maximum(count, 1))[sample]

    number = np.arange(len(sample)) - (np.cumsum(count) - count)[sample]
    y, x = events.y + number * PLACES[0] % 1, events.x + number * PLACES[1] % 1
    y, x = y - mean(y), x - mean(x)
    x = x - y * mean(x * y) / np.maximum(mean(y * y), (LEAST * rows) ** 2)
    y = y * HEIGHT * rows / np.maximum(np.sqrt(mean(y * y)), LEAST * rows)
    x = x * np.sqrt(WIDTH * columns / np.maximum(np.sqrt(mean(x * x)), LEAST * columns))
    y, x = np.floor(y + rows / 2), np.floor(x + columns / 2)
    return events._replace(y=y.astype(np.int64), x=x.astype(np.int64))
