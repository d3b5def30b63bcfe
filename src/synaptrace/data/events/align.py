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

from synaptrace.data.events.frames import Events

Array = NDArray[Any]

HEIGHT, WIDTH = 0.18, 0.135
"""h and w, parts of the sensor's rows and columns: about what N-MNIST's digits have as recorded."""

LEAST = 0.02
"""Parts of the sensor that √⟨y²⟩ and √⟨x²⟩ count as at least: less is hardly more than a dot."""

PLACES = 3242174889, 2447445414
"""2³² / ρ and 2³² / ρ² with ρ³ = ρ + 1: their multiples, modulo 2³², fill a square evenly."""


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
    count = events.counts(batch)
    some, start = count > 0, np.cumsum(count) - count

    def mean(values: Array) -> Array:
        sums = np.zeros(batch)
        sums[some] = np.add.reduceat(values, start[some], dtype=np.float64)
        return sums / np.maximum(count, 1)

    def each(values: Array) -> Array:
        return np.repeat(values.astype(np.float32), count)

    number = np.arange(len(events.sample), dtype=np.uint32)
    number -= np.repeat(start.astype(np.uint32), count)
    y, x = ((number * np.uint32(place)).astype(np.float32) for place in PLACES)
    # In place from here on: what costs most is to be given fresh memory.
    for at, pixel in ((y, events.y), (x, events.x)):
        at *= np.float32(2**-32)
        at += pixel
        at -= each(mean(at))
    yy, xy, xx = mean(y * y), mean(x * y), mean(x * x)
    slant = xy / np.maximum(yy, (LEAST * rows) ** 2)
    xx = xx - 2 * slant * xy + slant * slant * yy  # of x − y ⟨xy⟩ / ⟨y²⟩
    higher = HEIGHT * rows / np.maximum(np.sqrt(yy), LEAST * rows)
    wider = np.sqrt(WIDTH * columns / np.maximum(np.sqrt(np.maximum(xx, 0)), LEAST * columns))
    x *= each(wider)
    x -= each(wider * slant) * y
    x += columns / 2
    y *= each(higher)
    y += rows / 2
    return events._replace(
        y=np.floor(y, out=y).astype(np.int64), x=np.floor(x, out=x).astype(np.int64)
    )
